namespace Paravane.Hypervisor.Bench;

/// <summary>What the network bench does.</summary>
internal enum NetMode
{
    /// <summary>Sends frames and expects each of them back.</summary>
    Loop,

    /// <summary>Only receives: the device is the source.</summary>
    Receive,

    /// <summary>Only sends: the device drops.</summary>
    Transmit,
}
