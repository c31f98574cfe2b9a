namespace Paravane.Hypervisor.Legacy;

/// <summary>What the guest wants of the machine as a whole.</summary>
internal enum PowerRequest
{
    /// <summary>Start anew.</summary>
    Reset,

    /// <summary>Off.</summary>
    Off,
}
