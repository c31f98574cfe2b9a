namespace Paravane.Hypervisor.Bench;

/// <summary>Marsaglia's xorshift64* generator: a few cycles a number, reproducible by its seed.</summary>
internal struct XorShift(ulong seed)
{
    private ulong _state = seed == 0 ? 0x9e37_79b9_7f4a_7c15 : seed; // 0 would stay 0

    /// <summary>The next 64 bits.</summary>
    public ulong Next()
    {
        _state ^= _state >> 12;
        _state ^= _state << 25;
        _state ^= _state >> 27;
        return _state * 0x2545_f491_4f6c_dd1d;
    }

    /// <summary>A number below <paramref name="bound"/>, without a division.</summary>
    public ulong Below(ulong bound) => Math.BigMul(Next(), bound, out _);
}
