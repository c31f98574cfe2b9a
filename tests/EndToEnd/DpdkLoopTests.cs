using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>DPDK's virtio driver (testpmd's virtio-user port) as front-end of <c>paravane-net --net=loop</c>.</summary>
[Collection(BusyMachine.Name)]
public sealed class DpdkLoopTests
{
    private static readonly bool[] s_either = [false, true];

    /// <summary>Packed, mergeable, in-order, frame length.</summary>
    public static TheoryData<bool, bool, bool, int> Combinations()
    {
        TheoryData<bool, bool, bool, int> rows = [];
        foreach (bool packed in s_either)
        {
            foreach (bool mergeable in s_either)
            {
                foreach (bool inOrder in s_either)
                {
                    rows.Add(packed, mergeable, inOrder, 64);
                    rows.Add(packed, mergeable, inOrder, 1518);
                }
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_frame_comes_back_unchanged_and_in_order(bool packed, bool mergeable, bool inOrder, int lengthBytes) =>
        Loop(
            socket => new VirtioUserPort(socket) { Packed = packed, Mergeable = mergeable, InOrder = inOrder },
            DpdkFrames.OfLength(lengthBytes > 1000 ? 8_000 : 20_000, lengthBytes));

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Two_queue_pairs_carry_frames_of_all_lengths(bool packed, bool mergeable) =>
        Loop(
            socket => new VirtioUserPort(socket) { QueuePairs = 2, Packed = packed, Mergeable = mergeable },
            DpdkFrames.OfAnyLength(8_000, 1518));

    // With buffers that small testpmd also sends frames in pieces, and on packed rings DPDK's driver marks the header in its indirect tables as writable.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_frame_is_spread_over_several_mergeable_buffers(bool packed) =>
        Loop(
            socket => new VirtioUserPort(socket) { Packed = packed, Mergeable = true },
            DpdkFrames.OfAnyLength(DpdkRun.SmallBufferFrames, 1518),
            smallBuffers: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Front_ends_come_and_go(bool packed)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using ChildProcess backend = NetPeer.StartLoop(socket);
        List<byte[]> frames = DpdkFrames.OfLength(5_000, 64);
        for (int round = 0; round < 3; round++)
        {
            // The ring format and the features change from one front-end to the next.
            DpdkRun.SendAndCompare(new VirtioUserPort(socket) { Packed = packed ^ (round == 1), Mergeable = round != 2 }, frames, directory);
        }

        Assert.Equal(0, backend.Stop());
    }

    private static void Loop(Func<string, VirtioUserPort> port, List<byte[]> frames, bool smallBuffers = false)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        VirtioUserPort frontEnd = port(socket);
        using ChildProcess backend = NetPeer.StartLoop(socket, frontEnd.QueuePairs);
        DpdkRun.SendAndCompare(frontEnd, frames, directory, smallBuffers);
        Assert.Equal(0, backend.Stop());
        Assert.False(File.Exists(socket));
    }
}
