using System.Numerics;
using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Virtio;

/// <summary>What lies where in the BAR of a virtio-pci device: each part in pages of its own. 32 KiB up to 255 queues.</summary>
internal sealed class VirtioPciLayout
{
    /// <summary>Offset of the common configuration.</summary>
    public const uint Common = 0x0000;

    /// <summary>Size of the common configuration.</summary>
    public const uint CommonBytes = 64;

    /// <summary>Offset of the interrupt status.</summary>
    public const uint Isr = 0x1000;

    /// <summary>Offset of the device configuration.</summary>
    public const uint Device = 0x2000;

    /// <summary>Offset of the notification area.</summary>
    public const uint Notify = 0x3000;

    /// <summary>Bytes between the notification addresses of two queues.</summary>
    public const uint NotifyMultiplier = 4;

    private const uint PageBytes = 0x1000;

    /// <summary>Lays out a device.</summary>
    public VirtioPciLayout(int queueCount, int deviceConfigBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(queueCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(queueCount, ushort.MaxValue);
        ArgumentOutOfRangeException.ThrowIfNegative(deviceConfigBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(deviceConfigBytes, (int)PageBytes);
        Vectors = Math.Min(queueCount + 1, MsiX.MaxVectors);
        DeviceBytes = (uint)deviceConfigBytes;
        NotifyBytes = (uint)queueCount * NotifyMultiplier;
        Table = Notify + Pages(NotifyBytes);
        Pending = Table + Pages((uint)Vectors * MsiX.EntryBytes);
        BarBytes = BitOperations.RoundUpToPowerOf2(Pending + Pages((uint)(Vectors + 7) / 8));
    }

    /// <summary>MSI-X vectors: one for each queue and one for configuration, as far as MSI-X goes.</summary>
    public int Vectors { get; }

    /// <summary>Size of the device configuration.</summary>
    public uint DeviceBytes { get; }

    /// <summary>Size of the notification area.</summary>
    public uint NotifyBytes { get; }

    /// <summary>Offset of the MSI-X table.</summary>
    public uint Table { get; }

    /// <summary>Offset of the pending bits.</summary>
    public uint Pending { get; }

    /// <summary>Size of the BAR, a power of two.</summary>
    public uint BarBytes { get; }

    private static uint Pages(uint bytes) => Math.Max(1, (bytes + PageBytes - 1) / PageBytes) * PageBytes;
}
