using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Kvm.Abi;

/// <summary>Registers of a local APIC at their architectural offsets, <c>struct kvm_lapic_state</c>. 1024 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Size = 1024)]
internal struct KvmLapic
{
    /// <summary>Offset of the local vector table's entry for pin LINT0.</summary>
    public const int Lint0 = 0x350;

    /// <summary>Offset of the local vector table's entry for pin LINT1.</summary>
    public const int Lint1 = 0x360;

    /// <summary>The register at <paramref name="offsetBytes"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is none.</exception>
    [UnscopedRef]
    public ref uint this[int offsetBytes]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)offsetBytes, 1020u);
            return ref Unsafe.As<KvmLapic, uint>(ref Unsafe.AddByteOffset(ref this, offsetBytes));
        }
    }
}
