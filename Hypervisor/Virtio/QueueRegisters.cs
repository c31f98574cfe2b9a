using System.Runtime.CompilerServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Virtio;

/// <summary>One virtqueue in the registers of a transport.</summary>
internal struct QueueRegisters
{
    /// <summary>Size in descriptors.</summary>
    public ushort Size;

    /// <summary>Addresses by <see cref="QueueArea"/>.</summary>
    public AreaAddresses Areas;

    /// <summary>The driver has enabled it: its registers are fixed.</summary>
    public bool IsEnabled;

    /// <summary>The device works on it.</summary>
    public bool IsRunning;

    /// <summary>The device has been told to stop it and has not yet done so.</summary>
    public bool IsStopping;

    /// <summary>Three 64-bit guest physical addresses.</summary>
    [InlineArray(3)]
    public struct AreaAddresses
    {
        private ulong _first;
    }

    /// <summary>The address of <paramref name="area"/>.</summary>
    public readonly GuestAddress AddressOf(QueueArea area) => new(Areas[(int)area]);
}
