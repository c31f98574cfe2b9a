namespace Paravane.VirtioQueues.Linux;

/// <summary>What the reader of a TAP takes from the kernel unfinished: the flags of <c>TUNSETOFFLOAD</c>.</summary>
[Flags]
public enum TapOffloads : uint
{
    /// <summary>Only finished packets.</summary>
    None = 0,

    /// <summary><c>TUN_F_CSUM</c>: frames whose checksum is still to complete. Every other flag needs it.</summary>
    Checksum = 1,

    /// <summary><c>TUN_F_TSO4</c>.</summary>
    TcpV4 = 2,

    /// <summary><c>TUN_F_TSO6</c>.</summary>
    TcpV6 = 4,

    /// <summary><c>TUN_F_TSO_ECN</c>, with one of the two above.</summary>
    Ecn = 8,

    /// <summary><c>TUN_F_USO4</c> and <c>TUN_F_USO6</c>, which kernels from 6.2 on take together only.</summary>
    Udp = 0x60,
}
