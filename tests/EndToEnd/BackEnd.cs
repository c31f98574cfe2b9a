using Paravane.EndToEnd.Network;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>Starts paravane-blk and paravane-net as a user does.</summary>
public static class BackEnd
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(600);

    /// <summary>Starts a back-end which listens when this returns.</summary>
    public static ChildProcess Start(string program, string socketPath, params IEnumerable<string> options) =>
        Listening(ChildProcess.Start(Existing(program), [$"--socket-path={socketPath}", .. options], s_lifetime), socketPath);

    /// <summary>Starts a back-end inside a network namespace.</summary>
    public static ChildProcess StartIn(NetworkNamespace network, string program, string socketPath, params IEnumerable<string> options) =>
        Listening(network.Start([Existing(program), $"--socket-path={socketPath}", .. options]), socketPath, network);

    private static string Existing(string program)
    {
        Assert.True(File.Exists(program), $"{program} is missing: run `make build`");
        return program;
    }

    private static ChildProcess Listening(ChildProcess process, string socketPath, NetworkNamespace? network = null)
    {
        try
        {
            if (network is null)
            {
                ListeningSocket.WaitFor(socketPath, process, TimeSpan.FromSeconds(10));
            }
            else
            {
                // /proc/net/unix lists only sockets of the reader's own network namespace.
                network.Run($"for i in $(seq 500); do ss -xlH src '{socketPath}' | grep -q . && exit 0; sleep 0.02; done; exit 1");
            }

            return process;
        }
        catch (Exception failure)
        {
            process.Dispose();
            throw new PeerException($"{failure.Message}\n{process.Transcript}");
        }
    }
}
