using Paravane.Hypervisor.Frontend;

namespace Paravane.Hypervisor.Virtio;

/// <summary>What the user decided about a device behind vhost-user, and what its back-end cannot say for itself.</summary>
internal sealed record VhostUserOptions
{
    /// <summary>Virtio device id of a network device.</summary>
    public const ushort NetDevice = 1;

    /// <summary>Virtio device id of a block device.</summary>
    public const ushort BlockDevice = 2;

    /// <summary>Size of queues unless the user says otherwise, in descriptors.</summary>
    public const ushort DefaultQueueSize = 256;

    /// <summary>Name of the device, <c>disk0</c>: begins each message about it and names its thread.</summary>
    public required string Name { get; init; }

    /// <summary>Virtio device id (virtio 1.2 §5).</summary>
    public required ushort DeviceId { get; init; }

    /// <summary>Most queues to show, of a network device pairs; null: as many as the back-end has.</summary>
    public int? QueueLimit { get; init; }

    /// <summary>Largest size of each queue, a power of two.</summary>
    public ushort QueueSize { get; init; } = DefaultQueueSize;

    /// <summary>Network: address to show, whatever the back-end says; 6 bytes.</summary>
    public byte[]? Mac { get; init; }

    /// <summary>Network: largest packet to show, whatever the back-end says; the back-end is told where it listens.</summary>
    public int? MtuBytes { get; init; }

    /// <summary>Configuration to show in place of the back-end's.</summary>
    public byte[]? Config { get; init; }

    /// <summary>Bytes of configuration to ask the back-end for; null: what the device type has.</summary>
    public int? ConfigLengthBytes { get; init; }

    /// <summary>How the front-end behaves.</summary>
    public FrontendOptions Frontend { get; init; } = new();

    /// <summary>Nobody needs the device any more: a back-end that is still coming up is not waited for.</summary>
    public CancellationToken Ending { get; init; }

    /// <summary>Takes one line about something that the user should know. Device thread.</summary>
    public Action<string> Log { get; init; } = static _ => { };
}
