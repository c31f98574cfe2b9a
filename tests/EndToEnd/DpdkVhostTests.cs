using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>The lane itself, proven on a back-end that nobody here wrote: frames through testpmd's own vhost port.</summary>
[Collection(BusyMachine.Name)]
public sealed class DpdkVhostTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_frame_comes_back_from_the_vhost_port_of_dpdk(bool packed) =>
        Loop(socket => new VirtioUserPort(socket) { Packed = packed, Mergeable = true }, DpdkFrames.OfLength(5_000, 64));

    [Fact]
    public void Every_frame_comes_back_on_two_queue_pairs() =>
        Loop(socket => new VirtioUserPort(socket) { QueuePairs = 2, Mergeable = true }, DpdkFrames.OfAnyLength(5_000, 1518));

    [Fact]
    public void Every_frame_comes_back_in_small_mergeable_buffers() =>
        Loop(socket => new VirtioUserPort(socket) { Mergeable = true }, DpdkFrames.OfAnyLength(DpdkRun.SmallBufferFrames, 1518), smallBuffers: true);

    private static void Loop(Func<string, VirtioUserPort> port, List<byte[]> frames, bool smallBuffers = false)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("vhost.sock");
        VirtioUserPort frontEnd = port(socket);
        using Testpmd peer = NetPeer.StartVhost(socket, frontEnd.QueuePairs);
        DpdkRun.SendAndCompare(frontEnd, frames, directory, smallBuffers);
    }
}
