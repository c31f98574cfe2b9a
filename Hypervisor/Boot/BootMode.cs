namespace Paravane.Hypervisor.Boot;

/// <summary>State of the first vCPU.</summary>
internal enum BootMode
{
    /// <summary>64-bit, ring 0, first 4 GiB mapped one to one (Linux boot protocol, 64-bit entry).</summary>
    Long,

    /// <summary>64-bit, ring 3 with IOPL 3, first 4 GiB mapped one to one and open to ring 3: bare guests.</summary>
    LongUser,

    /// <summary>32-bit, ring 0, no paging (PVH).</summary>
    Pvh,
}
