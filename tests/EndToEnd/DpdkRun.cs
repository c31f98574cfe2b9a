using System.Diagnostics;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>
/// Sends known frames through a back-end that loops them and compares what comes back: testpmd reads them from a pcap file, forwards them to
/// its virtio-user port, and forwards what that port receives into another pcap file. One file per queue pair.
/// </summary>
internal static class DpdkRun
{
    /// <summary>
    /// So many frames fit into the receive ring at four buffers each. More would be dropped for want of a buffer: DPDK's driver takes as many
    /// buffers as the burst has frames, so testpmd sends more in a turn than it receives.
    /// </summary>
    public const int SmallBufferFrames = 250;

    // Fewer frames can be under way to the back-end than fit into the receive ring: none is dropped for want of a buffer.
    private const int SendRingSize = 256;
    private const int ReceiveRingSize = 1024;
    // 384 bytes remain after the head room of 128: up to four buffers for a frame.
    private static readonly string[] s_smallBuffers = ["--mbuf-size=512", "--disable-device-start"];
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    /// <summary>
    /// Runs <paramref name="frames"/> through the back-end at the socket of <paramref name="port"/> on each of its queue pairs, with receive
    /// buffers smaller than the largest frame if <paramref name="smallBuffers"/> is set.
    /// </summary>
    public static void SendAndCompare(VirtioUserPort port, List<byte[]> frames, TemporaryDirectory directory, bool smallBuffers = false)
    {
        string source = directory.File("in.pcap");
        PcapFile.Write(source, frames);
        string files = "net_pcap0";
        for (int pair = 0; pair < port.QueuePairs; pair++)
            files += $",rx_pcap={source},tx_pcap={ReceivedFile(directory, pair)}";

        using (var testpmd = Testpmd.Start(new TestpmdOptions
        {
            Devices = [(port with { QueueSize = ReceiveRingSize }).ToDevice(), files],
            Queues = port.QueuePairs,
            Arguments = ["--port-topology=paired", "--no-flush-rx", $"--txd={SendRingSize}", $"--rxd={ReceiveRingSize}", .. smallBuffers ? s_smallBuffers : []],
        }))
        {
            if (smallBuffers)
            {
                // Only the virtio port has the offload, so it cannot be asked for on the command line, which holds for all ports.
                testpmd.Command("port config 0 rx_offload scatter on", "testpmd> ");
                testpmd.Command("port start all", "Done");
            }

            // The back-end may need a moment until it serves the rings: wait for room rather than drop.
            testpmd.Command("set fwd io retry", "with retry");
            testpmd.Command("set burst tx delay 100 retry 100000", "testpmd> ");
            testpmd.StartForwarding();
            long expected = (long)frames.Count * port.QueuePairs;
            WaitForFrames(testpmd, expected);
            testpmd.StopForwarding();

            PortStatistics virtio = testpmd.ReadStatistics(0);
            Assert.Equal(expected, virtio.SentPackets);
            Assert.Equal(expected, virtio.ReceivedPackets);
            Assert.Equal(0, virtio.ReceiveErrors + virtio.Missed + virtio.NoBuffer + virtio.SendErrors);
            Assert.Equal(0, testpmd.Quit());
        }

        for (int pair = 0; pair < port.QueuePairs; pair++)
            Compare(frames, PcapFile.Read(ReceivedFile(directory, pair)));
    }

    private static string ReceivedFile(TemporaryDirectory directory, int pair) => directory.File($"out{pair}.pcap");

    private static void WaitForFrames(Testpmd testpmd, long expected)
    {
        var watch = Stopwatch.StartNew();
        PortStatistics files;
        do
        {
            files = testpmd.ReadStatistics(1);
            if (watch.Elapsed > s_patience)
                Assert.Fail($"{files.SentPackets} of {expected} frames came back within {s_patience.TotalSeconds} s; sent {testpmd.ReadStatistics(0)}");
            Thread.Sleep(20);
        }
        while (files.SentPackets < expected);
    }

    private static void Compare(List<byte[]> sent, List<byte[]> received)
    {
        Assert.Equal(sent.Count, received.Count);
        for (int index = 0; index < sent.Count; index++)
        {
            if (!sent[index].AsSpan().SequenceEqual(received[index]))
                Assert.Fail($"frame {index} of {sent[index].Length} bytes came back with {received[index].Length} bytes or other content");
        }
    }
}
