using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests.Memory;

/// <summary>One piece of guest memory: nothing reaches over its end.</summary>
public sealed unsafe class GuestSliceTests
{
    [Fact]
    public void A_copy_of_every_length_and_offset_changes_just_the_bytes_from_the_offset_on()
    {
        const int Room = 300, Guard = 64;
        byte* from = stackalloc byte[Room], to = stackalloc byte[Room + (2 * Guard)];
        new Random(3).NextBytes(new Span<byte>(from, Room));
        for (uint length = 0; length <= Room; length++)
        {
            foreach (uint offset in (uint[])[0, 1, 12, length / 2, length])
            {
                if (offset > length)
                {
                    continue;
                }

                new Span<byte>(to, Room + (2 * Guard)).Fill(0xEE);
                new GuestSlice(from, length).CopyTo(new GuestSlice(to + Guard, length), offset);
                var after = new ReadOnlySpan<byte>(to, Room + (2 * Guard));
                Assert.Equal(-1, after[..(Guard + (int)offset)].IndexOfAnyExcept((byte)0xEE));
                Assert.True(after.Slice(Guard + (int)offset, (int)(length - offset)).SequenceEqual(new ReadOnlySpan<byte>(from + offset, (int)(length - offset))));
                Assert.Equal(-1, after[(Guard + (int)length)..].IndexOfAnyExcept((byte)0xEE));
            }
        }
    }

    [Fact]
    public void What_would_reach_over_the_end_is_not_done()
    {
        byte* bytes = stackalloc byte[16];
        new Span<byte>(bytes, 16).Fill(7);
        Assert.Throws<ArgumentOutOfRangeException>(() => new GuestSlice(bytes, 8).CopyTo(new GuestSlice(bytes, 7), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GuestSlice(bytes, 8).CopyTo(new GuestSlice(bytes, 16), 9));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GuestSlice(bytes, 3).Read<uint>());
        Assert.False(new GuestSlice(bytes, 3).TryWrite(0u));
        Assert.Equal(-1, new ReadOnlySpan<byte>(bytes, 16).IndexOfAnyExcept((byte)7));
        Assert.True(new GuestSlice(bytes, 4).TryWrite(0x01020304u));
        Assert.Equal(0x01020304u, new GuestSlice(bytes, 4).Read<uint>());
        Assert.Equal(7, bytes[4]);
    }
}
