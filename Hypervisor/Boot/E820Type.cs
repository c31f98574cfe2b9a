namespace Paravane.Hypervisor.Boot;

/// <summary>What a range of addresses is; the same numbers in the zero page and in PVH's memory map.</summary>
internal enum E820Type : uint
{
    /// <summary>RAM that the kernel may use.</summary>
    Ram = 1,

    /// <summary>Not to be touched.</summary>
    Reserved = 2,
}
