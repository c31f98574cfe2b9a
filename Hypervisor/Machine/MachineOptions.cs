using Paravane.Hypervisor.Workers;

namespace Paravane.Hypervisor.Machine;

/// <summary>A virtual machine as the user wants it.</summary>
internal sealed record MachineOptions
{
    /// <summary>Kernel to boot: bzImage or ELF.</summary>
    public required string KernelPath { get; init; }

    /// <summary>Initial RAM disk, or null.</summary>
    public string? InitrdPath { get; init; }

    /// <summary>Words for the kernel's command line, behind those that the machine needs.</summary>
    public string? Append { get; init; }

    /// <summary>Enter the kernel by PVH instead of its 64-bit entry.</summary>
    public bool Pvh { get; init; }

    /// <summary>RAM in bytes.</summary>
    public ulong MemoryBytes { get; init; } = 512 << 20;

    /// <summary>Back RAM with huge pages of 2 MiB.</summary>
    public bool HugePages { get; init; }

    /// <summary>Make all RAM present before the start.</summary>
    public bool Prefault { get; init; }

    /// <summary>vCPUs.</summary>
    public int Cpus { get; init; } = 1;

    /// <summary>Devices in the order in which the guest finds them.</summary>
    public IReadOnlyList<DeviceOptions> Devices { get; init; } = [];

    /// <summary>How the guest reaches them.</summary>
    public Transport Transport { get; init; }

    /// <summary>File for the serial console; null: standard input and output.</summary>
    public string? ConsolePath { get; init; }

    /// <summary>Where <c>paravane ctl</c> finds the machine; null: nowhere.</summary>
    public string? ControlPath { get; init; }

    /// <summary>A restart of the guest ends the machine.</summary>
    public bool EndOnReset { get; init; }
}
