using System.Buffers.Binary;

namespace Paravane.Backends.Net;

/// <summary>What a driver has chosen by commands, as the one word that a successor of this process finds: pairs in use in the low 16 bits, the address above them.</summary>
/// <param name="Word">0: nothing was chosen. Read from a record it may be anything: <see cref="HasPairs"/> and <see cref="HasMac"/> say what makes sense.</param>
internal readonly record struct DriverChoice(ulong Word)
{
    private const int MacShift = 16;

    /// <summary>Pairs in use; 0: not chosen.</summary>
    public int Pairs => (ushort)Word;

    /// <summary>The number of pairs was chosen, and is one that a device of <paramref name="most"/> pairs can have.</summary>
    public bool HasPairs(int most) => Pairs != 0 && Pairs <= most;

    /// <summary>The address was chosen, and is one that an interface may have.</summary>
    public bool HasMac
    {
        get
        {
            Span<byte> mac = stackalloc byte[MacAddress.Bytes];
            CopyMac(mac);
            return MacAddress.IsOfOne(mac);
        }
    }

    /// <summary>The same with another number of pairs.</summary>
    public DriverChoice WithPairs(ushort pairs) => new((Word & ~(ulong)ushort.MaxValue) | pairs);

    /// <summary>The same with another address, six bytes.</summary>
    public DriverChoice WithMac(ReadOnlySpan<byte> mac)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        word.Clear();
        mac.CopyTo(word);
        return new((BinaryPrimitives.ReadUInt64LittleEndian(word) << MacShift) | (ushort)Word);
    }

    /// <summary>The address, six bytes, in the order of the wire.</summary>
    public void CopyMac(Span<byte> mac)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(word, Word >> MacShift);
        word[..MacAddress.Bytes].CopyTo(mac);
    }
}
