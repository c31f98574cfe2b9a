using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Tests.Bench;

/// <summary>Drives a load and a device turn by turn on one thread.</summary>
internal static class LoadRig
{
    private const int RunTurns = 2000;
    private const int QuietTurns = 1000;

    /// <summary>Prepares, runs, drains; what does not come back is abandoned after a thousand turns in which nothing moved.</summary>
    public static void Run(ILoad load, Func<bool> serve)
    {
        int quiet = 0;
        while (!load.IsReady && quiet < QuietTurns)
        {
            quiet = load.RunTurn() | serve() ? 0 : quiet + 1;
        }

        for (int i = 0; i < RunTurns; i++)
        {
            _ = load.RunTurn();
            _ = serve();
        }

        load.BeginDrain();
        quiet = 0;
        while (!load.IsDone && quiet < QuietTurns)
        {
            quiet = load.RunTurn() | serve() ? 0 : quiet + 1;
        }

        load.Abandon();
        Assert.True(load.IsDone);
    }

    /// <summary>Bytes that a thousand turns of the load allocate, without what the device allocates in between.</summary>
    public static long AllocatedByTurns(ILoad load, Func<bool> serve)
    {
        long allocated = 0;
        for (int i = 0; i < 1000; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            _ = load.RunTurn();
            allocated += GC.GetAllocatedBytesForCurrentThread() - before;
            _ = serve();
        }

        return allocated;
    }
}
