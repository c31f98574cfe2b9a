using System.Globalization;
using Paravane.Peers;

namespace Paravane.EndToEnd.Network;

/// <summary>A network namespace that lives as long as the process which holds it: without a name there is nothing to clean up.</summary>
public sealed class NetworkNamespace : IDisposable
{
    private static readonly TimeSpan s_commandLimit = TimeSpan.FromSeconds(60);

    private readonly ChildProcess _holder;

    /// <summary>Makes an empty namespace.</summary>
    public NetworkNamespace()
    {
        _holder = ChildProcess.Start("unshare", ["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep 600"], TimeSpan.FromSeconds(600));
        try
        {
            _holder.WaitFor("ready\n", TimeSpan.FromSeconds(10));
        }
        catch
        {
            _holder.Dispose();
            throw;
        }
    }

    /// <summary>Command line that runs a program inside.</summary>
    public IEnumerable<string> Wrap(params IEnumerable<string> command) =>
        ["--target", _holder.ProgramId.ToString(CultureInfo.InvariantCulture), "--net", .. command];

    /// <summary>Runs a shell script inside; any exit code but 0 fails the test.</summary>
    public string Run(string script)
    {
        (int code, string output, string transcript) = ChildProcess.Run("nsenter", Wrap("sh", "-c", script), s_commandLimit);
        Assert.True(code == 0, $"in the namespace: {script}\nended with code {code}:\n{transcript}");
        return output.TrimEnd('\n');
    }

    /// <summary>Starts a program inside.</summary>
    public ChildProcess Start(params IEnumerable<string> command) => ChildProcess.Start("nsenter", Wrap(command), TimeSpan.FromSeconds(600));

    /// <inheritdoc/>
    public void Dispose() => _holder.Dispose();
}
