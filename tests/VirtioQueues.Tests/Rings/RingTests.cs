using System.Numerics;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests;

/// <summary>Ring rules, one body for both formats.</summary>
public abstract class RingTests<TRing, TDriver>
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    [Fact]
    public void A_chain_goes_down_and_comes_back_with_cookie_and_length()
    {
        using var rig = new RingRig<TRing, TDriver>(8);
        Assert.True(rig.Driver.TryAdd([rig.Buffer(100), rig.Buffer(28), rig.Buffer(512)], 2, 0xbeef));
        Assert.Equal(0, rig.Queue.Fill(64));
        Assert.True(rig.Driver.Publish());
        Assert.Equal(1, rig.Queue.Fill(64));
        Chain chain = rig.Queue.Peek(0);
        Assert.Equal(128u, chain.ReadableBytes);
        Assert.Equal(512u, chain.WritableBytes);
        rig.Queue.Consume(1);
        rig.Queue.Complete(chain.Token, 500);
        Assert.False(rig.Driver.TryGetUsed(out _, out _));
        rig.Queue.Publish();
        Assert.True(rig.Driver.TryGetUsed(out ushort cookie, out uint written));
        Assert.Equal((0xbeef, 500u), (cookie, written));
        Assert.Equal(8, rig.Driver.FreeDescriptors);
        Assert.Equal(0, rig.Queue.InFlight);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(256)]
    [InlineData(32768)]
    public void R11_200000_requests_pass_at_every_ring_size(int size)
    {
        size = RingRig<TRing, TDriver>.Packed ? size : (int)BitOperations.RoundUpToPowerOf2((uint)size); // 3 is for packed rings only
        using var rig = new RingRig<TRing, TDriver>(size);
        var used = new UsedChain[64];
        int sent = 0, received = 0;
        for (int turn = 0; received < 200_000; turn++)
        {
            Assert.True(turn < 400_000, "progress");
            while (sent < 200_000 && rig.Offer((ushort)sent))
            {
                sent++;
            }

            rig.Driver.Publish();
            rig.Serve(64, 7);
            int count = rig.Driver.GetUsedBurst(used);
            for (int i = 0; i < count; i++)
            {
                Assert.Equal(new UsedChain((ushort)received++, used[i].Id, 7), used[i]);
            }
        }

        Assert.Equal(ChainFault.None, rig.Queue.Fault);
        Assert.Equal(size, rig.Driver.FreeDescriptors);
    }
}

public sealed class SplitRingTests : RingTests<SplitRing, SplitDriver>;

public sealed class PackedRingTests : RingTests<PackedRing, PackedDriver>;
