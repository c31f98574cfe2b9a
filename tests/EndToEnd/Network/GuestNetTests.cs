using System.Globalization;

namespace Paravane.EndToEnd.Network;

/// <summary>What a stock Linux guest and a tap in a network namespace tell each other through paravane-net.</summary>
public abstract class GuestNetTests(NetGuest net)
{
    private const int ChecksumBit = 0;
    private const int GuestTso4Bit = 7;
    private const int HostTso4Bit = 11;
    private const int MergeableBit = 15;
    private const int MultiqueueBit = 22;
    private const int EventIndexBit = 29;
    private const int RingPackedBit = 34;

    private const int EthernetFrameBytes = 1514;

    [Theory, InlineData("one-pair", true, false), InlineData("two-pairs", true, true), InlineData("plain", false, false)]
    public void The_guest_uses_the_ring_format_and_the_features_that_were_asked_for(string nic, bool offloads, bool multiqueue)
    {
        string features = net.Guest.Run($"cat /sys/class/net/{net.Find(nic)}/device/features");
        Assert.Equal(net.IsPacked, features[RingPackedBit] == '1');
        Assert.Equal('1', features[EventIndexBit]);
        Assert.Equal(multiqueue, features[MultiqueueBit] == '1');
        Assert.All([ChecksumBit, GuestTso4Bit, HostTso4Bit, MergeableBit], bit => Assert.Equal(offloads, features[bit] == '1'));
    }

    [Theory, InlineData("one-pair"), InlineData("two-pairs"), InlineData("plain")]
    public void Ping_is_answered_in_both_directions_small_and_fragmented(string nic)
    {
        foreach (int payload in (int[])[56, 1472, 9000, 30000])
        {
            net.Guest.Run($"ping -q -c 3 -i 0.2 -W 5 -s {payload} {NetGuest.HostAddress(nic)}");
            net.Host.Run($"busybox ping -q -c 3 -i 0.2 -W 5 -s {payload} {NetGuest.GuestAddress(nic)}");
        }
    }

    [Theory, InlineData("one-pair", false), InlineData("one-pair", true), InlineData("two-pairs", true), InlineData("plain", false)]
    public void A_bulk_transfer_over_TCP_arrives_whole_in_both_directions(string nic, bool overIPv6)
    {
        FromHost(nic, overIPv6);
        FromGuest(nic, overIPv6);
    }

    [Fact]
    public void Segmentation_is_left_to_the_host_where_negotiated_and_done_by_the_guest_where_not()
    {
        Assert.InRange(MeanFrameBytesFromGuest("one-pair"), 2 * EthernetFrameBytes, 65550);
        Assert.InRange(MeanFrameBytesFromGuest("plain"), 500, EthernetFrameBytes);
    }

    [Fact]
    public void The_guest_switches_its_offloads_off_and_on_and_transfers_stay_whole()
    {
        string link = net.Find("one-pair");
        net.Guest.Run($"/tools/ethtool -K {link} tx off tso off gso off gro off");
        Assert.InRange(MeanFrameBytesFromGuest("one-pair"), 500, EthernetFrameBytes);
        FromHost("one-pair", overIPv6: false);
        net.Guest.Run($"/tools/ethtool -K {link} tx on tso on gso on gro on");
        Assert.InRange(MeanFrameBytesFromGuest("one-pair"), 2 * EthernetFrameBytes, 65550);
        FromHost("one-pair", overIPv6: false);
    }

    [Fact]
    public void Two_queue_pairs_both_carry_frames_in_both_directions_and_one_suffices_again()
    {
        string link = net.Find("two-pairs");
        net.Guest.Run($"/tools/ethtool -L {link} combined 2");
        // A flow pinned to each CPU; the tap answers on the queue on which it heard a flow last.
        string sums = net.Guest.Run($"""
            for cpu in 1 2 1 2; do
                taskset $cpu wget -q -O - http://{NetGuest.HostAddress("two-pairs")}:8000/file | sha256sum &
            done
            wait
            """, limitSeconds: 120);
        Assert.Equal(4, sums.Split('\n').Count(line => line.StartsWith(net.HostFileChecksum, StringComparison.Ordinal)));
        foreach (string counter in (string[])["rx_queue_0_packets", "rx_queue_1_packets", "tx_queue_0_packets", "tx_queue_1_packets"])
        {
            string count = net.Guest.Run($"/tools/ethtool -S {link} | awk '$1 == \"{counter}:\" {{ print $2 }}'");
            Assert.True(long.Parse(count, CultureInfo.InvariantCulture) > 10, $"{counter} is {count}");
        }

        net.Guest.Run($"/tools/ethtool -L {link} combined 1");
        FromHost("two-pairs", overIPv6: false);
        net.Guest.Run($"/tools/ethtool -L {link} combined 2");
        FromGuest("two-pairs", overIPv6: false);
    }

    [Fact]
    public void Back_ends_sleep_while_their_guest_does()
    {
        FromHost("one-pair", overIPv6: false);
        Idle.Check(net.CpuTime);
    }

    private void FromHost(string nic, bool overIPv6)
    {
        string address = overIPv6 ? $"[{NetGuest.HostAddress6(nic)}]" : NetGuest.HostAddress(nic);
        Assert.StartsWith(net.HostFileChecksum, net.Guest.Run($"wget -q -O - http://{address}:8000/file | sha256sum", limitSeconds: 120));
    }

    private void FromGuest(string nic, bool overIPv6)
    {
        string address = overIPv6 ? $"[{NetGuest.GuestAddress6(nic)}]" : NetGuest.GuestAddress(nic);
        Assert.StartsWith(net.GuestFileChecksum, net.Host.Run($"busybox wget -q -O - http://{address}:8000/file | sha256sum"));
    }

    /// <summary>Sends the file from the guest and returns the mean size of what arrived at the tap: over a frame's size only when segmentation was left to us.</summary>
    private double MeanFrameBytesFromGuest(string nic)
    {
        (long bytes, long packets) before = Received(nic);
        FromGuest(nic, overIPv6: false);
        (long bytes, long packets) after = Received(nic);
        return (double)(after.bytes - before.bytes) / (after.packets - before.packets);
    }

    private (long Bytes, long Packets) Received(string nic)
    {
        // Counters of /proc/net/dev: name, then bytes and packets received by the host from the tap.
        string[] words = net.Host.Run($"grep {NetGuest.Tap(nic)}: /proc/thread-self/net/dev").Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries);
        return (long.Parse(words[1], CultureInfo.InvariantCulture), long.Parse(words[2], CultureInfo.InvariantCulture));
    }
}

/// <summary>The same over split rings.</summary>
public sealed class GuestSplitNetTests(SplitNetGuest net) : GuestNetTests(net), IClassFixture<SplitNetGuest>;

/// <summary>The same over packed rings.</summary>
public sealed class GuestPackedNetTests(PackedNetGuest net) : GuestNetTests(net), IClassFixture<PackedNetGuest>;
