namespace Paravane.Hypervisor.Boot;

/// <summary>How the first vCPU begins.</summary>
/// <param name="Mode">Which state the entry point asks for.</param>
/// <param name="EntryPoint">Guest physical address of the first instruction.</param>
/// <param name="Parameter">Zero page (64-bit start, in RSI) or <c>hvm_start_info</c> (PVH, in RBX).</param>
internal readonly record struct BootState(BootMode Mode, ulong EntryPoint, ulong Parameter);
