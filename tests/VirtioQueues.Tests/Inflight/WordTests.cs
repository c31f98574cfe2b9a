using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VirtioQueues.Tests.Inflight;

/// <summary>The one word that a device keeps for its successor behind the parts of its queues.</summary>
public sealed class WordTests
{
    private const int Queues = 3, Size = 16;
    private const ulong Word = 0x0123_4567_89ab_cdef;

    [Theory]
    [InlineData(RingFormat.Split, 0)]
    [InlineData(RingFormat.Split, 4096 + 8)]
    [InlineData(RingFormat.Packed, 0)]
    [InlineData(RingFormat.Packed, 8)]
    public unsafe void A_successor_reads_what_was_stored_last_and_no_queue_notices(RingFormat format, int offset)
    {
        ulong bytes = InflightRecord.BytesWithWord(format, Queues, Size);
        using MemFd file = MemFd.Create("inflight-test", (ulong)offset + bytes + 4096);
        using Mapping map = Mapping.OfFile(file, 0, (nuint)file.LengthBytes);
        var all = new Span<byte>(map.Address, (int)file.LengthBytes);
        using (InflightRecord first = InflightRecord.Map(file, (ulong)offset, bytes, Queues, Size))
        {
            Assert.Equal(0UL, first.ReadWord(format));
            all.Fill(0x5c);
            first.WriteWord(format, 1);
            first.WriteWord(format, Word);
        }

        using InflightRecord second = InflightRecord.Map(file, (ulong)offset, bytes, Queues, Size);
        Assert.Equal(Word, second.ReadWord(format));
        int at = offset + (int)InflightRecord.BytesNeeded(format, Queues, Size);
        Assert.Equal(Word, BitConverter.ToUInt64(all[at..]));
        Assert.False(all[..at].ContainsAnyExcept((byte)0x5c));
        Assert.False(all[(at + sizeof(ulong))..].ContainsAnyExcept((byte)0x5c));
        second.Forget();
        Assert.Equal(0UL, second.ReadWord(format));
        Assert.False(all[(at + sizeof(ulong))..].ContainsAnyExcept((byte)0x5c));
    }

    [Theory]
    [InlineData(RingFormat.Split, 0)]
    [InlineData(RingFormat.Split, 63)]
    [InlineData(RingFormat.Packed, 0)]
    [InlineData(RingFormat.Packed, 63)]
    public unsafe void Without_room_for_it_the_word_reads_as_nothing_and_a_store_vanishes(RingFormat format, int more)
    {
        using MemFd file = MemFd.Create("inflight-test", 1 << 16);
        using Mapping map = Mapping.OfFile(file, 0, (nuint)file.LengthBytes);
        var all = new Span<byte>(map.Address, (int)file.LengthBytes);
        using InflightRecord record = InflightRecord.Map(file, 0, InflightRecord.BytesNeeded(format, Queues, Size) + (ulong)more, Queues, Size);
        all.Fill(0x5c);
        Assert.Null(record.FindError(Queues - 1, Size, format));
        Assert.Equal(0UL, record.ReadWord(format));
        record.WriteWord(format, Word);
        Assert.Equal(-1, all.IndexOfAnyExcept((byte)0x5c));
    }

    /// <summary>A record that was made before anybody knew the format is larger than split rings need.</summary>
    [Fact]
    public void In_a_record_for_packed_rings_split_ones_have_a_word_too()
    {
        using MemFd file = InflightRecord.Create(RingFormat.Packed, Queues, Size);
        using InflightRecord record = InflightRecord.Map(file, 0, file.LengthBytes, Queues, Size);
        record.WriteWord(RingFormat.Split, Word);
        Assert.Equal((Word, 0UL), (record.ReadWord(RingFormat.Split), record.ReadWord(RingFormat.Packed)));
        record.Forget();
        Assert.Equal(0UL, record.ReadWord(RingFormat.Split));
    }
}
