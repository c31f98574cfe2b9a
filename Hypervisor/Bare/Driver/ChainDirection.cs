namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Who writes a buffer.</summary>
internal enum ChainDirection
{
    /// <summary>The driver.</summary>
    ToDevice,

    /// <summary>The device.</summary>
    FromDevice,

    /// <summary>Different with each request.</summary>
    Either,
}
