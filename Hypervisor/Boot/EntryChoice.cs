namespace Paravane.Hypervisor.Boot;

/// <summary>Which entry point of a kernel to use.</summary>
internal enum EntryChoice
{
    /// <summary>The 64-bit one; PVH where there is no 64-bit one.</summary>
    Automatic,

    /// <summary>The PVH entry, or an error.</summary>
    Pvh,
}
