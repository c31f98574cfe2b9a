namespace Paravane.VirtioQueues.Tests;

public sealed class QueueStateTests
{
    [Fact]
    public void A_fresh_packed_ring_starts_with_both_wrap_counters_set()
    {
        QueueState state = QueueState.Fresh(RingFormat.Packed);
        Assert.Equal(0x8000_8000u, state.Raw);
        Assert.Equal((0, true, 0, true), (state.AvailPosition, state.AvailWrap, state.UsedPosition, state.UsedWrap));
        Assert.Equal(0u, QueueState.Fresh(RingFormat.Split).Raw);
    }

    [Theory]
    [InlineData(0, false, 0, true)]
    [InlineData(32767, true, 32767, true)]
    [InlineData(5, true, 3, true)]
    [InlineData(1, false, 250, true)]
    [InlineData(7, false, 2, false)]
    public void Packed_positions_survive_packing_into_32_bits(int avail, bool availWrap, int used, bool usedWrap)
    {
        QueueState state = QueueState.Packed((ushort)avail, availWrap, (ushort)used, usedWrap);
        Assert.Equal((avail, availWrap, used, usedWrap), (state.AvailPosition, state.AvailWrap, state.UsedPosition, state.UsedWrap));
        Assert.Equal((uint)avail, state.Raw & 0x7fff);
        Assert.Equal((uint)used, (state.Raw >> 16) & 0x7fff);
    }

    [Theory]
    [InlineData(0x0000_8005u)]
    [InlineData(0x0000_0007u)]
    public void A_peer_that_keeps_only_the_lower_half_means_that_nothing_was_in_flight(uint raw)
    {
        var state = new QueueState(raw);
        Assert.Equal((state.AvailPosition, state.AvailWrap), (state.UsedPosition, state.UsedWrap));
    }

    [Fact]
    public void A_split_state_is_the_free_running_index()
    {
        Assert.Equal(0xffff, QueueState.Split(0xffff).NextAvail);
        Assert.Equal(0xffffu, QueueState.Split(0xffff).Raw);
    }
}
