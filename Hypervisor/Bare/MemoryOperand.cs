namespace Paravane.Hypervisor.Bare;

/// <summary>An address as instructions have it: base + displacement, or base + index · scale + displacement.</summary>
/// <remarks>There is no form without a base: a bare 32-bit address would be sign-extended, and most devices live above 2 GiB.</remarks>
internal readonly record struct MemoryOperand
{
    /// <summary>Base and displacement.</summary>
    public MemoryOperand(Register start, int displacement = 0)
    {
        Base = start;
        Displacement = displacement;
    }

    /// <summary>Base, scaled index and displacement.</summary>
    /// <param name="start">Base.</param>
    /// <param name="index">Index, any register but <see cref="Register.Rsp"/>.</param>
    /// <param name="scale">1, 2, 4 or 8.</param>
    /// <param name="displacement">Displacement in bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">The scale or the index does not exist.</exception>
    public MemoryOperand(Register start, Register index, int scale, int displacement = 0)
        : this(start, displacement)
    {
        ArgumentOutOfRangeException.ThrowIfEqual((byte)index, (byte)Register.Rsp, nameof(index));
        if (scale is not (1 or 2 or 4 or 8))
        {
            throw new ArgumentOutOfRangeException(nameof(scale), scale, "1, 2, 4 or 8");
        }

        Index = index;
        Scale = scale;
    }

    /// <summary>Base.</summary>
    public Register Base { get; }

    /// <summary>Index; null for none.</summary>
    public Register? Index { get; }

    /// <summary>What the index is multiplied by; 0 without one.</summary>
    public int Scale { get; }

    /// <summary>Displacement in bytes.</summary>
    public int Displacement { get; }
}
