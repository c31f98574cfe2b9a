using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Inflight;

namespace Paravane.VirtioQueues.Tests.Inflight;

public sealed class LayoutTests
{
    [Fact]
    public void The_split_record_is_laid_out_as_in_the_vhost_user_specification()
    {
        Check<InflightSplitHeader>(16, ("Features", 0), ("Version", 8), ("DescNum", 10), ("LastBatchHead", 12), ("UsedIdx", 14));
        Check<InflightSplitEntry>(16, ("Inflight", 0), ("Next", 6), ("Counter", 8));
    }

    [Fact]
    public void The_packed_record_is_laid_out_as_in_the_vhost_user_specification()
    {
        Check<InflightPackedHeader>(32, ("Features", 0), ("Version", 8), ("DescNum", 10), ("FreeHead", 12), ("OldFreeHead", 14), ("UsedIdx", 16), ("OldUsedIdx", 18),
            ("UsedWrap", 20), ("OldUsedWrap", 21), ("Positions", 16));
        Check<InflightPackedEntry>(32, ("Inflight", 0), ("Next", 2), ("Last", 4), ("Num", 6), ("Counter", 8), ("Id", 16), ("Flags", 18), ("Len", 20), ("Addr", 24),
            ("IdFlagsLen", 16));
    }

    [Theory]
    [InlineData(RingFormat.Split, 1, 1, 64)]
    [InlineData(RingFormat.Split, 1, 3, 64)]
    [InlineData(RingFormat.Split, 1, 4, 128)]
    [InlineData(RingFormat.Split, 4, 128, 4 * 2112)]
    [InlineData(RingFormat.Packed, 1, 1, 64)]
    [InlineData(RingFormat.Packed, 1, 2, 128)]
    [InlineData(RingFormat.Packed, 4, 128, 4 * 4160)]
    [InlineData(RingFormat.Packed, 256, 32768, 256 * 1048640)]
    public void Parts_follow_each_other_at_multiples_of_64_bytes_and_the_devices_word_has_as_many_behind_them(RingFormat format, int queues, int size, int expectedBytes)
    {
        Assert.Equal((ulong)expectedBytes, InflightRecord.BytesNeeded(format, queues, size));
        Assert.Equal((ulong)expectedBytes, (ulong)queues * InflightRecord.PartBytes(format, size));
        Assert.Equal((ulong)expectedBytes + 64, InflightRecord.BytesWithWord(format, queues, size));
    }

    private static void Check<T>(int size, params (string Field, int Offset)[] fields)
        where T : unmanaged
    {
        Assert.Equal(size, Unsafe.SizeOf<T>());
        foreach ((string field, int offset) in fields)
        {
            Assert.Equal(offset, (int)Marshal.OffsetOf<T>(field));
        }
    }
}
