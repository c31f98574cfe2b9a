using System.Runtime.InteropServices;
using CsCheck;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests.Memory;

/// <summary>Scatter-gather lists against plain arrays of bytes: how a list is cut never matters.</summary>
public sealed unsafe class BufferListTests
{
    private static readonly Gen<int[]> s_cuts = Gen.Int[1, 90].Array[1, 7];

    [StructLayout(LayoutKind.Sequential, Pack = 1)]
    private struct Odd
    {
        public ulong A;
        public uint B;
        public byte C;
    }

    [Fact]
    public void Copying_out_and_in_agrees_with_an_array_at_every_cut()
    {
        Gen.Select(s_cuts, Gen.Int[0, 700], Gen.Int[0, 700], Gen.Int[0, 1 << 20]).Sample((cuts, offset, length, seed) =>
        {
            using var list = new Pieces(cuts, seed);
            byte[] oracle = list.Flatten();
            byte[] target = new byte[length];
            byte[] expected = new byte[length];
            int wanted = Math.Clamp(oracle.Length - offset, 0, length);
            oracle.AsSpan(Math.Min(offset, oracle.Length), wanted).CopyTo(expected);
            Assert.Equal(wanted, list.List.CopyTo((uint)offset, target));
            Assert.Equal(expected, target);

            new Random(seed + 1).NextBytes(target);
            Assert.Equal(wanted, list.List.CopyFrom((uint)offset, target));
            target.AsSpan(0, wanted).CopyTo(oracle.AsSpan(Math.Min(offset, oracle.Length)));
            Assert.Equal(oracle, list.Flatten());
            list.AssertGuards();
        });
    }

    [Fact]
    public void Copying_between_two_lists_agrees_with_arrays_at_every_cut()
    {
        Gen.Select(s_cuts, s_cuts, Gen.Int[0, 1 << 20]).Sample((fromCuts, toCuts, seed) =>
        {
            using var from = new Pieces(fromCuts, seed);
            using var to = new Pieces(toCuts, seed + 1);
            var random = new Random(seed);
            byte[] source = from.Flatten(), expected = to.Flatten();
            int fromOffset = random.Next(source.Length + 1), toOffset = random.Next(expected.Length + 1);
            int length = random.Next(Math.Min(source.Length - fromOffset, expected.Length - toOffset) + 1);
            BufferList.Copy(from.List, (uint)fromOffset, to.List, (uint)toOffset, (uint)length);
            source.AsSpan(fromOffset, length).CopyTo(expected.AsSpan(toOffset));
            Assert.Equal(expected, to.Flatten());
            Assert.Equal(source, from.Flatten());
            from.AssertGuards();
            to.AssertGuards();
        });
    }

    [Fact]
    public void Structs_are_read_and_written_wherever_the_cuts_are()
    {
        for (int cut = 1; cut < sizeof(Odd); cut++)
        {
            for (int offset = 0; offset <= 40; offset++)
            {
                using var list = new Pieces([cut, 1, 7, 2, 20], cut);
                byte[] oracle = list.Flatten();
                bool fits = offset + sizeof(Odd) <= oracle.Length;
                Assert.Equal(fits, list.List.TryRead((uint)offset, out Odd value));
                if (fits)
                {
                    Assert.Equal(MemoryMarshal.Read<Odd>(oracle.AsSpan(offset)), value);
                }

                value = new Odd { A = 0x1122334455667788, B = 0x99aabbcc, C = 0xdd };
                Assert.Equal(fits, list.List.TryWrite((uint)offset, value));
                if (fits)
                {
                    MemoryMarshal.Write(oracle.AsSpan(offset), value);
                }

                Assert.Equal(oracle, list.Flatten()); // unchanged where it did not fit
                list.AssertGuards();
            }
        }
    }

    [Fact]
    public void Offsets_near_2_to_the_32_do_not_wrap()
    {
        using var list = new Pieces([8, 8], 1);
        foreach (uint offset in new[] { uint.MaxValue, uint.MaxValue - 3, uint.MaxValue - 15, 17u })
        {
            Assert.False(list.List.TryRead(offset, out ulong _));
            Assert.False(list.List.TryWrite(offset, 5UL));
            Assert.Equal(0, list.List.CopyTo(offset, new byte[32]));
            Assert.Equal(0, list.List.CopyFrom(offset, new byte[32]));
        }

        list.AssertGuards();
    }

    [Fact]
    public void Clearing_touches_exactly_the_range()
    {
        Gen.Select(s_cuts, Gen.Int[0, 1 << 20]).Sample((cuts, seed) =>
        {
            using var list = new Pieces(cuts, seed);
            byte[] oracle = list.Flatten();
            var random = new Random(seed);
            int offset = random.Next(oracle.Length + 1), length = random.Next(oracle.Length - offset + 1);
            list.List.Clear((uint)offset, (uint)length);
            oracle.AsSpan(offset, length).Clear();
            Assert.Equal(oracle, list.Flatten());
            list.AssertGuards();
        });
    }

    [Fact]
    public void A_range_that_is_not_inside_is_refused_before_a_byte_moves()
    {
        using var list = new Pieces([16, 16], 1);
        using var other = new Pieces([64], 2);
        byte[] before = list.Flatten();
        foreach ((uint offset, uint length) in new[] { (0u, 33u), (32u, 1u), (33u, 0u), (31u, 2u), (uint.MaxValue, 1u), (1u, uint.MaxValue) })
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => list.List.Clear(offset, length));
            Assert.Throws<ArgumentOutOfRangeException>(() => BufferList.Copy(other.List, 0, list.List, offset, length));
            Assert.Throws<ArgumentOutOfRangeException>(() => BufferList.Copy(list.List, offset, other.List, 0, length));
            Assert.Throws<ArgumentOutOfRangeException>(() => BufferList.Copy(default, 0, list.List, 0, Math.Max(1, length)));
        }

        Assert.Equal(before, list.Flatten());
        list.AssertGuards();
        BufferList.Copy(default, 0, list.List, 32, 0); // nothing is always inside
    }

    [Fact]
    public void A_piece_of_more_than_2_GiB_can_be_cleared()
    {
        using var memory = new TestMemory(5UL << 30);
        var piece = new GuestBuffer { Host = memory[new GuestAddress(TestMemory.Base)], LengthBytes = uint.MaxValue };
        piece.Host[0x9000_0000] = 1;
        new BufferList(&piece, 1, uint.MaxValue).Clear(0x9000_0000, 1);
        Assert.Equal(0, piece.Host[0x9000_0000]);
        piece.Host[0] = piece.Host[0x8000_0000] = 7;
        new BufferList(&piece, 1, uint.MaxValue).Clear(0, 0x8000_0001); // longer than an int
        Assert.Equal((0, 0), (piece.Host[0], piece.Host[0x8000_0000]));
    }

    [Fact]
    public void A_short_copy_writes_every_byte_and_none_beside_them_at_every_length_and_alignment()
    {
        const int Guard = 64;
        byte[] source = new byte[600], target = new byte[600], expected = new byte[600];
        new Random(5).NextBytes(source);
        fixed (byte* from = source, to = target)
        {
            for (int length = 0; length <= 300; length++)
            {
                for (int skew = 0; skew < 3; skew++)
                {
                    Array.Fill(target, (byte)0xee);
                    Array.Fill(expected, (byte)0xee);
                    source.AsSpan(Guard + skew, length).CopyTo(expected.AsSpan(Guard + (2 * skew)));
                    ShortCopy.Copy(to + Guard + (2 * skew), from + Guard + skew, (uint)length);
                    Assert.True(expected.AsSpan().SequenceEqual(target), $"length {length}, skew {skew}");
                }
            }
        }
    }

    [Fact]
    public void A_short_copy_never_reads_or_writes_over_the_end_of_memory()
    {
        // The last bytes before a page that does not exist: one byte too many would end the process.
        using var memory = new TestMemory(1 << 16);
        byte* end = memory[new GuestAddress(TestMemory.Base)] + memory.SizeBytes, start = memory[new GuestAddress(TestMemory.Base)];
        for (uint length = 0; length <= 300; length++)
        {
            ShortCopy.Copy(start, end - length, length);
            ShortCopy.Copy(end - length, start, length);
        }
    }

    /// <summary>Pieces of native memory with guard bytes around each.</summary>
    private sealed class Pieces : IDisposable
    {
        private const int Guard = 64;
        private readonly int[] _cuts;
        private readonly GuestBuffer* _buffers;

        public Pieces(int[] cuts, int seed)
        {
            _cuts = cuts;
            _buffers = (GuestBuffer*)NativeMemory.Alloc((nuint)(cuts.Length * sizeof(GuestBuffer)));
            var random = new Random(seed);
            for (int i = 0; i < cuts.Length; i++)
            {
                byte* block = (byte*)NativeMemory.Alloc((nuint)(cuts[i] + (2 * Guard)));
                new Span<byte>(block, cuts[i] + (2 * Guard)).Fill(0xa5);
                random.NextBytes(new Span<byte>(block + Guard, cuts[i]));
                _buffers[i] = new GuestBuffer { Host = block + Guard, LengthBytes = (nuint)cuts[i] };
            }
        }

        public BufferList List => new(_buffers, _cuts.Length, (uint)_cuts.Sum());

        public byte[] Flatten()
        {
            var bytes = new List<byte>();
            for (int i = 0; i < _cuts.Length; i++)
            {
                bytes.AddRange(new ReadOnlySpan<byte>(_buffers[i].Host, _cuts[i]));
            }

            return [.. bytes];
        }

        public void AssertGuards()
        {
            for (int i = 0; i < _cuts.Length; i++)
            {
                Assert.Equal(-1, new ReadOnlySpan<byte>(_buffers[i].Host - Guard, Guard).IndexOfAnyExcept((byte)0xa5));
                Assert.Equal(-1, new ReadOnlySpan<byte>(_buffers[i].Host + _cuts[i], Guard).IndexOfAnyExcept((byte)0xa5));
            }
        }

        public void Dispose()
        {
            for (int i = 0; i < _cuts.Length; i++)
            {
                NativeMemory.Free(_buffers[i].Host - Guard);
            }

            NativeMemory.Free(_buffers);
        }
    }
}
