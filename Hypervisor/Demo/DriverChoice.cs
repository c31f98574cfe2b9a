namespace Paravane.Hypervisor.Demo;

/// <summary>Which driver the user wants in the demo.</summary>
internal enum DriverChoice
{
    /// <summary>A guest where KVM can run one, else this process.</summary>
    Auto,

    /// <summary>A guest, or nothing.</summary>
    Guest,

    /// <summary>This process.</summary>
    Host,
}
