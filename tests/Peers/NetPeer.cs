using System.Globalization;

namespace Paravane.Peers;

/// <summary>Network back-ends that send each frame back: DPDK's vhost port, and our loop.</summary>
public static class NetPeer
{
    /// <summary>Starts testpmd's vhost port with <c>io</c> forwarding from the port to itself, and waits until it listens.</summary>
    public static Testpmd StartVhost(string socketPath, int queuePairs = 1, int? cpu = null, TimeSpan? lifetime = null)
    {
        var testpmd = Testpmd.Start(new TestpmdOptions
        {
            Devices = [string.Create(CultureInfo.InvariantCulture, $"net_vhost0,iface={socketPath},queues={queuePairs}")],
            Queues = queuePairs,
            Cpu = cpu,
            Arguments = ["--port-topology=loop"],
            Lifetime = lifetime ?? TimeSpan.FromSeconds(60),
        });
        try
        {
            ListeningSocket.WaitFor(socketPath, testpmd.Process, TimeSpan.FromSeconds(10));
            testpmd.StartForwarding();
            return testpmd;
        }
        catch (PeerException)
        {
            testpmd.Dispose();
            throw;
        }
    }

    /// <summary>Starts <c>paravane-net --net=loop</c> and waits until it listens.</summary>
    public static ChildProcess StartLoop(string socketPath, int queuePairs = 1, int? cpu = null, TimeSpan? lifetime = null, params string[] arguments)
    {
        string[] all = ["--net=loop", $"--socket-path={socketPath}", string.Create(CultureInfo.InvariantCulture, $"--queue-pairs={queuePairs}"), .. arguments];
        var process = ChildProcess.Start(Programs.Net, all, lifetime ?? TimeSpan.FromSeconds(60), cpu);
        try
        {
            ListeningSocket.WaitFor(socketPath, process, TimeSpan.FromSeconds(10));
            return process;
        }
        catch (PeerException)
        {
            process.Dispose();
            throw;
        }
    }
}
