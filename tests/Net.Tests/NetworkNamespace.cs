using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Paravane.Backends.Net.Tests;

/// <summary>A network of its own for one test: the test's body runs on a thread that lives in it, so that interfaces vanish with the thread and its files.</summary>
internal static partial class NetworkNamespace
{
    private const int NewNetwork = 0x4000_0000; // CLONE_NEWNET

    /// <summary>Runs <paramref name="body"/> in a new namespace with its loopback interface up.</summary>
    public static void Run(Action body)
    {
        Exception? failure = null;
        bool entered = false;
        var thread = new Thread(() =>
        {
            try
            {
                entered = Unshare(NewNetwork) == 0;
                if (entered)
                {
                    Ip("link set lo up");
                    body();
                }
            }
            catch (Exception caught)
            {
                failure = caught;
            }
        });
        thread.Start();
        thread.Join();
        Assert.SkipUnless(entered, "network namespaces need root");
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>Runs <c>ip</c> in the calling thread's namespace.</summary>
    /// <returns>What it printed.</returns>
    public static string Ip(string arguments)
    {
        using Process ip = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = ip.StandardOutput.ReadToEnd(), error = ip.StandardError.ReadToEnd();
        ip.WaitForExit();
        Assert.True(ip.ExitCode == 0, $"ip {arguments}: {error}");
        return output;
    }

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int flags);
}
