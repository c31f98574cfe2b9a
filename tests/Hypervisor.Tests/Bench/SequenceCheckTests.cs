using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class SequenceCheckTests
{
    private readonly SequenceCheck _check = new(8);

    [Fact]
    public void Frames_that_come_back_in_order_are_in_order_also_over_gaps()
    {
        ulong[] sent = [_check.Send(), _check.Send(), _check.Send()];
        Assert.Equal(SequenceCheck.Arrival.InOrder, _check.Receive(sent[0]));
        Assert.Equal(SequenceCheck.Arrival.InOrder, _check.Receive(sent[2]));
    }

    [Fact]
    public void A_frame_that_was_overtaken_is_late_and_twice_is_twice()
    {
        ulong[] sent = [_check.Send(), _check.Send()];
        Assert.Equal(SequenceCheck.Arrival.InOrder, _check.Receive(sent[1]));
        Assert.Equal(SequenceCheck.Arrival.Late, _check.Receive(sent[0]));
        Assert.Equal(SequenceCheck.Arrival.Duplicate, _check.Receive(sent[0]));
        Assert.Equal(SequenceCheck.Arrival.Duplicate, _check.Receive(sent[1]));
    }

    [Fact]
    public void A_frame_that_was_never_sent_is_unknown()
    {
        _ = _check.Send();
        Assert.Equal(SequenceCheck.Arrival.Unknown, _check.Receive(1));
        Assert.Equal(SequenceCheck.Arrival.Unknown, _check.Receive(ulong.MaxValue));
    }

    [Fact]
    public void A_frame_from_before_the_window_is_unknown_and_counted_as_overtaken()
    {
        ulong first = _check.Send();
        for (int i = 0; i < 16; i++)
        {
            _ = _check.Receive(_check.Send());
        }

        Assert.Equal(1, _check.Overtaken);
        Assert.Equal(SequenceCheck.Arrival.Unknown, _check.Receive(first));
    }
}
