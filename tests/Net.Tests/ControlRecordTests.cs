using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Net.Tests;

/// <summary>What a driver chose by commands, found by the device that takes over with the record of requests in flight.</summary>
public sealed class ControlRecordTests
{
    private const byte Ok = 0;
    private const int Pairs = 4, Queues = (2 * Pairs) + 1, QueueSize = 64;

    private static readonly byte[] s_mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56], s_other = [0x52, 0x54, 0, 0xab, 0xcd, 0xef];

    public static TheoryData<Rings> Formats => ControlTests.Formats;

    [Theory, MemberData(nameof(Formats))]
    public void A_successor_goes_on_with_the_pairs_and_the_address_that_the_driver_chose(Rings rings)
    {
        using MemFd file = NewRecord(rings);
        using InflightRecord first = Map(file), second = Map(file), third = Map(file);
        using NetDevice dead = Device(), device = Device(), last = Device();
        using var rig = new ControlRig(dead, ControlRig.FeaturesOf(rings), record: first);
        Assert.Equal(Ok, rig.Send([4, 0, 3, 0]));
        Assert.Equal(Ok, rig.Send([1, 1, .. s_other]));
        Assert.NotEqual(Ok, rig.Send([4, 0, 9, 0]));

        int changes = 0;
        device.ConfigChanged += () => changes++;
        rig.Die(device, second);
        Assert.Equal([true, true, true, false], On(device));
        Assert.Equal(1, changes); // who has read the configuration before has to look again
        Assert.Equal(s_other, MacOf(device));
        Assert.Equal(Ok, rig.Send([4, 0, 2, 0]));

        rig.Die(last, third);
        Assert.Equal([true, true, false, false], On(last));
        Assert.Equal(s_other, MacOf(last));
        last.Reset();
        Assert.Equal(s_mac, MacOf(last));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_choice_that_the_driver_did_not_make_is_the_successors_own(Rings rings)
    {
        using MemFd file = NewRecord(rings);
        using InflightRecord record = Map(file);
        byte[] mac = [0x52, 0x54, 0, 1, 1, 1];
        using NetDevice dead = Device(), device = Device(mac);
        using var rig = new ControlRig(dead, ControlRig.FeaturesOf(rings), record: record);
        Assert.Equal(Ok, rig.Send([0, 0, 1]));
        rig.Die(device, record);
        Assert.Equal([true, false, false, false], On(device));
        Assert.Equal(mac, MacOf(device));
        Assert.Equal(0UL, record.ReadWord(FormatOf(rings)));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_paused_queue_that_comes_back_with_another_record_leaves_its_choice_there(Rings rings)
    {
        using MemFd file = NewRecord(rings), other = NewRecord(rings);
        using InflightRecord record = Map(file), fresh = Map(other);
        using NetDevice device = Device(), successor = Device();
        using (var rig = new ControlRig(device, ControlRig.FeaturesOf(rings), record: record))
        {
            Assert.Equal(Ok, rig.Send([4, 0, 3, 0]));
            Assert.Equal(Ok, rig.Send([1, 1, .. s_other]));
        }

        using (var rig = new ControlRig(device, ControlRig.FeaturesOf(rings), record: fresh))
        {
            Assert.Equal([true, true, true, false], On(device));
            rig.Die(successor, fresh);
            Assert.Equal([true, true, true, false], On(successor));
            Assert.Equal(s_other, MacOf(successor));
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void After_a_reset_the_same_record_says_nothing_and_the_device_begins_afresh(Rings rings)
    {
        using MemFd file = NewRecord(rings);
        using InflightRecord record = Map(file);
        using NetDevice device = Device();
        using (var rig = new ControlRig(device, ControlRig.FeaturesOf(rings), record: record))
        {
            Assert.Equal(Ok, rig.Send([4, 0, 3, 0]));
            Assert.Equal(Ok, rig.Send([1, 1, .. s_other]));
        }

        record.Forget(); // as the session does it for RESET_DEVICE
        device.Reset();
        using var next = new ControlRig(device, ControlRig.FeaturesOf(rings), record: record);
        Assert.Equal([true, false, false, false], On(device));
        Assert.Equal(s_mac, MacOf(device));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_record_without_room_for_the_choice_serves_the_requests_alone(Rings rings)
    {
        RingFormat format = FormatOf(rings);
        ulong bytes = InflightRecord.BytesNeeded(format, Queues, QueueSize);
        using MemFd file = MemFd.Create("inflight-test", bytes);
        using InflightRecord record = InflightRecord.Map(file, 0, bytes, Queues, QueueSize);
        using NetDevice dead = Device(), device = Device();
        using var rig = new ControlRig(dead, ControlRig.FeaturesOf(rings), record: record);
        Assert.Equal(Ok, rig.Send([4, 0, 3, 0]));
        Assert.Equal([true, true, true, false], On(dead));
        rig.Die(device, record);
        Assert.Equal([true, false, false, false], On(device));
        Assert.Equal(Ok, rig.Send([4, 0, 2, 0]));
        Assert.Equal([true, true, false, false], On(device));
    }

    /// <summary>Pairs in the low 16 bits, the address from its first byte on above them; whoever holds the record may have written anything.</summary>
    [Theory]
    [InlineData(0x0000_0000_0000_0000, 1, false)]
    [InlineData(0x0000_0000_0000_0005, 1, false)]
    [InlineData(0x0000_0000_0000_ffff, 1, false)]
    [InlineData(0x0000_0000_0000_0104, 1, false)]
    [InlineData(0x0600_0000_0001_0003, 3, false)]
    [InlineData(unchecked((long)0xffff_ffff_ffff_ffff), 1, false)]
    [InlineData(unchecked((long)0xefcd_ab00_5452_0000), 1, true)]
    [InlineData(unchecked((long)0xefcd_ab00_5452_0005), 1, true)]
    [InlineData(unchecked((long)0xefcd_ab00_5452_0004), 4, true)]
    public void I2_what_no_driver_can_have_chosen_is_not_taken_from_a_record(long word, int pairs, bool hasMac)
    {
        foreach (Rings rings in (Rings[])[Rings.Plain, Rings.Packed])
        {
            using MemFd file = NewRecord(rings);
            using InflightRecord record = Map(file);
            record.WriteWord(FormatOf(rings), (ulong)word);
            using NetDevice device = Device();
            using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings), record: record);
            Assert.Equal(pairs, On(device).Count(on => on));
            Assert.Equal(hasMac ? s_other : s_mac, MacOf(device));

            // What was not taken is not handed on either.
            var kept = new DriverChoice(record.ReadWord(FormatOf(rings)));
            Assert.Equal((pairs > 1 ? pairs : 0, hasMac), (kept.Pairs, kept.HasMac));
            Assert.Equal(Ok, rig.Send([4, 0, 2, 0]));
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void I2_a_choice_whose_command_was_not_negotiated_is_not_taken_from_a_record(Rings rings)
    {
        using MemFd file = NewRecord(rings);
        using InflightRecord record = Map(file);
        record.WriteWord(FormatOf(rings), default(DriverChoice).WithPairs(3).WithMac(s_other).Word);
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings, pairs: 1) & ~NetFeatures.CtrlMacAddr, index: 2, record: record);
        Assert.Equal([true, false, false, false], On(device));
        Assert.Equal(s_mac, MacOf(device));
    }

    private static NetDevice Device(byte[]? mac = null) => new(new LoopPort(), new NetSettings { QueuePairs = Pairs, Mac = mac ?? s_mac });

    private static RingFormat FormatOf(Rings rings) => (rings & Rings.Packed) != 0 ? RingFormat.Packed : RingFormat.Split;

    private static MemFd NewRecord(Rings rings) => InflightRecord.Create(FormatOf(rings), Queues, QueueSize);

    private static InflightRecord Map(MemFd file) => InflightRecord.Map(file, 0, file.LengthBytes, Queues, QueueSize);

    private static IEnumerable<bool> On(NetDevice device) => device.Pairs.Select(pair => pair.IsOn);

    private static byte[] MacOf(NetDevice device)
    {
        byte[] mac = new byte[6];
        device.ReadConfig(0, mac);
        return mac;
    }
}
