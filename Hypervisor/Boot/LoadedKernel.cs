namespace Paravane.Hypervisor.Boot;

/// <summary>A kernel that lies in guest memory.</summary>
/// <param name="Start">Its lowest guest physical address.</param>
/// <param name="End">End of what it uses before it knows the memory map.</param>
/// <param name="Entry">64-bit entry point, or null.</param>
/// <param name="PvhEntry">32-bit PVH entry point, or null.</param>
internal readonly record struct LoadedKernel(ulong Start, ulong End, ulong? Entry, ulong? PvhEntry);
