using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>Payload of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. 8 bytes; bits above 8 are reserved.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
public readonly struct VringDescriptor(ulong raw)
{
    private const ulong NoDescriptorBit = 1UL << 8;

    /// <summary>The word as it travels.</summary>
    public readonly ulong Raw = raw;

    /// <summary>Makes the word for vring <paramref name="index"/>.</summary>
    public VringDescriptor(byte index, bool hasDescriptor)
        : this(index | (hasDescriptor ? 0 : NoDescriptorBit))
    {
    }

    /// <summary>The index with the reserved bits left in, so that an index which fits only after cutting stays out of range.</summary>
    public ulong Index => Raw & ~NoDescriptorBit;

    /// <summary>False: no descriptor comes with the message, poll instead.</summary>
    public bool HasDescriptor => (Raw & NoDescriptorBit) == 0;
}
