using System.Globalization;

namespace Paravane.Peers;

/// <summary><c>paravane-blk</c>.</summary>
public static class BlockBackend
{
    /// <summary>
    /// Starts <c>paravane-blk</c> on <paramref name="store"/>, such as <c>--blk-null=1G</c> or <c>--blk-file=PATH</c>, and waits until it listens.
    /// </summary>
    public static ChildProcess Start(string socketPath, string store, int queues, TimeSpan lifetime, int? cpu, params string[] arguments)
    {
        string[] all = [$"--socket-path={socketPath}", store, string.Create(CultureInfo.InvariantCulture, $"--num-queues={queues}"), .. arguments];
        var process = ChildProcess.Start(Programs.Block, all, lifetime, cpu);
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
