using Paravane.VhostServer;

namespace Paravane.Hypervisor.Workers;

/// <summary>A log that neither a guest, which can break its device again and again, nor a worker that it took over can fill.</summary>
/// <param name="write">Takes the lines that remain.</param>
/// <remarks>Any thread.</remarks>
internal sealed class LimitedLog(Action<string> write)
{
    private readonly Lock _lock = new();
    private readonly LineLimit _limit = new();

    /// <summary>Writes the line, or counts it.</summary>
    public void Say(string line)
    {
        string remark;
        lock (_lock)
        {
            if (!_limit.MayWrite(out remark))
            {
                return;
            }
        }

        write(line + remark);
    }
}
