using CsCheck;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class PatternTests
{
    [Fact]
    public void A_block_holds_its_pattern_and_any_changed_byte_is_found_where_it_is() =>
        Gen.Select(Gen.ULong, Gen.ULong, Gen.UInt, Gen.Int[1, 8], Gen.Int[0, 4095], Gen.Byte[1, 255]).Sample((seed, sector, generation, sectors, at, change) =>
        {
            byte[] data = new byte[sectors * 512];
            BlockPattern.Fill(data, seed, sector, generation);
            Assert.Equal(-1, BlockPattern.FindMismatch(data, seed, sector, generation));
            at %= data.Length;
            data[at] ^= change;
            Assert.Equal(at, BlockPattern.FindMismatch(data, seed, sector, generation));
        });

    [Fact]
    public void Another_place_another_generation_and_another_seed_all_differ() =>
        Gen.Select(Gen.ULong, Gen.ULong[0, 1UL << 50], Gen.UInt[1, 1 << 30]).Sample((seed, sector, generation) =>
        {
            byte[] data = new byte[512];
            BlockPattern.Fill(data, seed, sector, generation);
            Assert.NotEqual(-1, BlockPattern.FindMismatch(data, seed, sector + 1, generation));
            Assert.NotEqual(-1, BlockPattern.FindMismatch(data, seed, sector, generation + 1));
            Assert.NotEqual(-1, BlockPattern.FindMismatch(data, seed + 1, sector, generation));
        });

    [Fact]
    public void A_frame_is_recognised_and_any_changed_byte_after_the_addresses_is_found() =>
        Gen.Select(Gen.Int[NetFrame.MinBytes, 2000], Gen.ULong, Gen.Int[0, 1999], Gen.Byte[1, 255]).Sample((length, sequence, at, change) =>
        {
            const int EtherTypeOffset = 12;
            byte[] frame = new byte[length];
            NetFrame.Begin(frame, 3);
            NetFrame.Write(frame, sequence);
            Assert.Equal(NetFrame.Fault.None, NetFrame.Check(frame, length, 3, out ulong found));
            Assert.Equal(sequence, found);
            at = EtherTypeOffset + (at % (length - EtherTypeOffset));
            frame[at] ^= change;
            Assert.NotEqual(NetFrame.Fault.None, NetFrame.Check(frame, length, 3, out _));
        });

    [Fact]
    public void A_frame_of_another_length_or_pair_is_not_taken()
    {
        byte[] frame = new byte[100];
        NetFrame.Begin(frame, 0);
        NetFrame.Write(frame, 1);
        Assert.Equal(NetFrame.Fault.Length, NetFrame.Check(frame.AsSpan(0, 99), 100, 0, out _));
        Assert.Equal(NetFrame.Fault.Header, NetFrame.Check(frame, 100, 1, out _));
    }

    [Fact]
    public void Random_numbers_stay_below_their_bound_and_reach_all_of_it()
    {
        var random = new XorShift(7);
        var seen = new HashSet<ulong>();
        for (int i = 0; i < 10_000; i++)
        {
            ulong number = random.Below(37);
            Assert.True(number < 37);
            seen.Add(number);
        }

        Assert.Equal(37, seen.Count);
    }
}
