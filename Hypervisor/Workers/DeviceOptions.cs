using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Verbs;
using Paravane.Hypervisor.Virtio;

namespace Paravane.Hypervisor.Workers;

/// <summary>A device as the user asked for it, by an option of the command line or over the control socket. Everything is checked that can be without opening anything.</summary>
internal abstract record DeviceOptions
{
    private const int MaxIdLength = 32;

    /// <summary>Rings that vhost-user can name (SET_VRING_KICK: one byte).</summary>
    protected const int MaxQueues = 256;

    /// <summary>Pairs of queues beside which a control queue still has a name.</summary>
    protected const int MaxQueuePairs = 127;

    /// <summary>Name that the user gave it, or null.</summary>
    public string? Id { get; init; }

    /// <summary>Begins the name of one that the user gave none: «disk» in disk0.</summary>
    public abstract string Kind { get; }

    /// <summary>Largest size of each queue, a power of two.</summary>
    public ushort QueueSize { get; init; } = VhostUserOptions.DefaultQueueSize;

    /// <summary>Processes the user's wishes into a running device.</summary>
    /// <param name="name">Its name: <see cref="Id"/>, or one that the machine made up.</param>
    /// <param name="cpus">vCPUs of the machine: as many queues, unless the user wants otherwise.</param>
    /// <param name="memory">Guest memory.</param>
    /// <param name="log">Takes one line about something that the user should know. Any thread.</param>
    /// <param name="ending">The machine ends: a back-end that is still coming up is not waited for.</param>
    /// <exception cref="FrontendException">The device cannot be had; one line says why. Nothing is left behind.</exception>
    public VhostUserFunction Open(string name, int cpus, IReadOnlyList<GuestRamRegion> memory, Action<string> log, CancellationToken ending)
    {
        VhostUserFunction? device = null;
        var ofWorker = new LimitedLog(line => log($"{name}: {line}"));
        device = VhostUserFunction.Open(Describe(name, cpus) with { Log = new LimitedLog(log).Say, Ending = ending }, NewBackEnd(cpus, PassOn), memory);
        return device;

        // While it comes up, and each time it fails to, its last line is part of the error.
        void PassOn(string line)
        {
            if (Volatile.Read(ref device) is { IsServed: true })
            {
                ofWorker.Say(line);
            }
        }
    }

    /// <summary>What the device is told.</summary>
    protected abstract VhostUserOptions Describe(string name, int cpus);

    /// <summary>Where its connections come from.</summary>
    /// <param name="cpus">vCPUs of the machine.</param>
    /// <param name="log">Takes what a worker of our own has to say while it serves the device. Any thread.</param>
    /// <exception cref="FrontendException">The worker's program is missing.</exception>
    protected abstract IBackEnd NewBackEnd(int cpus, Action<string> log);

    /// <summary>Takes the key <c>id</c>.</summary>
    /// <exception cref="UsageException">It is not a name.</exception>
    private protected static string? TakeId(KeyValueList list)
    {
        string? id = list.Take("id");
        return id is null || (id.Length <= MaxIdLength && id.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.'))
            ? id
            : throw list.Wrong($"id={id} is not a name of up to {MaxIdLength} letters, digits, '-', '_' and '.'");
    }
}
