using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Workers;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A back-end that is a new scripted one for each connection.</summary>
internal sealed class ScriptedSource(Func<int, ScriptedBackEnd> make) : IBackEnd
{
    private readonly List<ScriptedBackEnd> _all = [];

    public string Name => "scripted";

    public int? ProcessId => null;

    public int Count
    {
        get
        {
            lock (_all)
            {
                return _all.Count;
            }
        }
    }

    public ScriptedBackEnd this[int index]
    {
        get
        {
            Wait.Until(() => Count > index);
            lock (_all)
            {
                return _all[index];
            }
        }
    }

    public UnixSocket Connect()
    {
        lock (_all)
        {
            ScriptedBackEnd next = make(_all.Count);
            _all.Add(next);
            return next.FrontendEnd;
        }
    }

    public TimeSpan SettleTime { get; set; }

    /// <summary>Says whether a worker that was given up has ended.</summary>
    public Func<bool> Ended { get; set; } = static () => true;

    public string? End() => null;

    public bool HasEnded(TimeSpan wait) => Wait.For(Ended, wait);

    public void Finish()
    {
    }

    public void Dispose()
    {
        lock (_all)
        {
            _all.ForEach(backEnd => backEnd.Dispose());
        }
    }
}
