using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>A memory BAR: where it lies, and how far the guest has come with moving it.</summary>
/// <remarks>Guarded by the lock of its function.</remarks>
internal sealed class PciBar
{
    /// <summary>Describes a BAR that has no place yet.</summary>
    /// <param name="index">0 to 5; a 64-bit BAR takes the next one, too.</param>
    /// <param name="is64">64-bit.</param>
    /// <param name="sizeBytes">A power of two, 16 at least.</param>
    /// <param name="target">Answers accesses.</param>
    public PciBar(int index, bool is64, ulong sizeBytes, IBusDevice target)
    {
        Index = index;
        Is64 = is64;
        SizeBytes = sizeBytes;
        Target = target;
    }

    /// <summary>0 to 5.</summary>
    public int Index { get; }

    /// <summary>64-bit.</summary>
    public bool Is64 { get; }

    /// <summary>A power of two.</summary>
    public ulong SizeBytes { get; }

    /// <summary>Answers accesses.</summary>
    public IBusDevice Target { get; }

    /// <summary>Offset of its first register in configuration space.</summary>
    public int ConfigOffset => PciConfig.Bar0 + (4 * Index);

    /// <summary>Bytes that its registers take.</summary>
    public int ConfigLengthBytes => Is64 ? 8 : 4;

    /// <summary>The place that it was given at first, and gets again with a reset.</summary>
    public ulong HomeAddress { get; set; }

    /// <summary>The place that it holds; the register may show another one while the guest is at work on it.</summary>
    public ulong Address { get; set; }

    /// <summary>True while it answers at <see cref="Address"/>.</summary>
    public bool IsMapped { get; set; }

    /// <summary>Which registers (bit 0 the low, bit 1 the high one) were written since <see cref="Address"/> was last right, memory decode being on.</summary>
    public int WrittenHalves { get; set; }

    /// <summary>What <see cref="WrittenHalves"/> must be before a new address counts as complete.</summary>
    public int AllHalves => Is64 ? 3 : 1;
}
