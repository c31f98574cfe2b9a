using System.Runtime.InteropServices;

namespace Paravane.VhostServer.Protocol;

/// <summary>In front of the bytes of GET_CONFIG and SET_CONFIG. 12 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeInBytes)]
public readonly struct ConfigHeader(uint offsetBytes, uint sizeBytes, ConfigFlags flags)
{
    /// <summary>Size of the struct in bytes.</summary>
    public const int SizeInBytes = 12;

    /// <summary>Largest config space that the messages can carry, in bytes.</summary>
    public const int MaxSpaceBytes = 256;

    /// <summary>First byte of config space.</summary>
    public readonly uint OffsetBytes = offsetBytes;

    /// <summary>Number of bytes.</summary>
    public readonly uint SizeBytes = sizeBytes;

    /// <summary>Who writes.</summary>
    public readonly ConfigFlags Flags = flags;
}
