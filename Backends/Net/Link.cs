namespace Paravane.Backends.Net;

/// <summary>State of the device's one network link. Written by the session, read by workers.</summary>
internal sealed class Link(int mtuBytes)
{
    private volatile int _mtuBytes = mtuBytes;

    /// <summary>Payload of an Ethernet frame in bytes, without its header.</summary>
    public int MtuBytes
    {
        get => _mtuBytes;
        set => _mtuBytes = value;
    }

    /// <summary>Longest frame that carries one packet.</summary>
    public uint MaxFrameBytes(bool limitedToMtu) =>
        limitedToMtu ? (uint)Math.Min(_mtuBytes + FrameLimits.OverheadBytes, FrameLimits.MaxBytes) : FrameLimits.MaxBytes;
}
