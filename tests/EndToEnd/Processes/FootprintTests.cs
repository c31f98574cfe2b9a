using System.Diagnostics;
using System.Net.Sockets;
using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>What a back-end costs before it does anything. Alone on the machine: time is measured.</summary>
[Collection(BusyMachine.Name)]
public sealed class FootprintTests(ITestOutputHelper output)
{
    private const int Starts = 9;
    private const int PrivateKibibytesLimit = 12 * 1024;

    /// <summary>The goal is 40 ms; a machine that builds something else meanwhile takes several times that.</summary>
    private static readonly TimeSpan s_startLimit = TimeSpan.FromMilliseconds(160);

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void It_accepts_a_connection_soon_after_its_start_and_needs_little_memory(string program)
    {
        List<TimeSpan> times = [];
        long memory = 0;
        for (int i = 0; i < Starts; i++)
        {
            using var scratch = TemporaryDirectory.Create();
            string path = scratch.File("socket");
            var clock = Stopwatch.StartNew();
            using var process = ChildProcess.Start(BackEndProgram.Find(program), [$"--socket-path={path}", .. BackEndProgram.Minimum(program)], TimeSpan.FromSeconds(30));
            using Socket client = ConnectAsSoonAsPossible(path, clock);
            times.Add(clock.Elapsed);
            memory = ProcessUsage.PrivateKibibytes(process.ProgramId);
        }

        times.Sort();
        output.WriteLine($"{program}: start to accept {times[0].TotalMilliseconds:F1} ms at best, {times[Starts / 2].TotalMilliseconds:F1} ms median; {memory} KiB private at rest");
        Assert.InRange(times[Starts / 2], TimeSpan.Zero, s_startLimit);
        Assert.InRange(memory, 1, PrivateKibibytesLimit);
    }

    private static Socket ConnectAsSoonAsPossible(string path, Stopwatch clock)
    {
        var address = new UnixDomainSocketEndPoint(path);
        while (true)
        {
            Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                client.Connect(address);
                return client;
            }
            catch (SocketException) when (clock.Elapsed < TimeSpan.FromSeconds(10))
            {
                client.Dispose();
                Thread.Yield();
            }
        }
    }
}
