namespace Paravane.Backends.Net;

/// <summary>Lengths of frames in bytes.</summary>
internal static class FrameLimits
{
    /// <summary>Destination, source and type.</summary>
    public const int EthernetHeaderBytes = 14;

    /// <summary>What the MTU does not count: the Ethernet header with one VLAN tag.</summary>
    public const int OverheadBytes = EthernetHeaderBytes + 4;

    /// <summary>Longest frame that any driver sends or makes room for (virtio 1.2 §5.1.6.3.1): a 64 KiB packet behind an Ethernet header.</summary>
    public const int MaxBytes = 65550;

    /// <summary>Smallest and largest MTU (virtio 1.2 §5.1.4.1).</summary>
    public const int MinMtu = 68, MaxMtu = 65535;
}
