using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>A vring and one number about it, <c>struct vhost_vring_state</c>. 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 8)]
public readonly struct VringState(uint index, uint num)
{
    /// <summary>Index of the vring, all 32 bits of it.</summary>
    public readonly uint Index = index;

    /// <summary>Size, base or flag, by message.</summary>
    public readonly uint Num = num;
}
