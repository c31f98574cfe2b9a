using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Backends.Net.Tests;

/// <summary>The control queue: what each command does, and what becomes of commands that are none.</summary>
public sealed class ControlTests
{
    private const byte Ok = 0, Error = 1;

    private static readonly byte[] s_mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56], s_other = [0x52, 0x54, 0, 0xab, 0xcd, 0xef];

    public static TheoryData<Rings> Formats =>
        [.. new[] { Rings.Plain, Rings.Packed, Rings.InOrder | Rings.EventIdx, Rings.Packed | Rings.InOrder | Rings.EventIdx }];

    /// <summary>One valid command of each kind.</summary>
    private static byte[][] Commands =>
    [
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, .. Table(2), .. Table(3)],
        [1, 0, .. Table(0), .. Table(0)],
        [1, 1, .. s_other],
        [4, 0, 2, 0],
    ];

    [Fact]
    public void A_command_begins_with_class_and_command()
    {
        Assert.Equal(2, Unsafe.SizeOf<ControlHeader>());
        var header = new ControlHeader(ControlClass.MultiQueue, 0x22);
        Assert.Equal([4, 0x22], MemoryMarshal.AsBytes(new ReadOnlySpan<ControlHeader>(in header)).ToArray());
    }

    [Theory, MemberData(nameof(Formats))]
    public void Every_command_is_carried_out_however_it_is_cut(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        foreach (byte[] command in Commands)
        {
            Assert.Equal(Ok, rig.Send(command));
            Assert.Equal(Ok, rig.Send(command, 1));
            Assert.Equal(Ok, rig.Send(command, 2));
            Assert.Equal(Ok, rig.Send(command, [.. Enumerable.Repeat(1, command.Length - 1)]));
        }

        byte[] many = rig.SendAll([4, 0, 1, 0], [9, 9], [4, 0, 2, 0], [4, 0, 3, 0], [0, 0, 1], [1], [0, 0, 0]);
        Assert.Equal([Ok, Error, Ok, Error, Ok, Error, Ok], many);
    }

    [Theory, MemberData(nameof(Formats))]
    public void An_answer_is_the_first_byte_of_its_room_and_nothing_else(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        Assert.Equal([Ok, ControlRig.Untouched, ControlRig.Untouched, ControlRig.Untouched], rig.Exchange([4, 0, 2, 0], [1, 3], out uint written));
        Assert.Equal(1u, written);
        Assert.Equal([Error, ControlRig.Untouched], rig.Exchange([4, 0, 9, 0], [2], out written));
        Assert.Equal(1u, written);
    }

    [Theory, MemberData(nameof(Formats))]
    public void The_driver_sets_the_address_that_the_configuration_shows_until_a_reset(Rings rings)
    {
        using NetDevice device = Device();
        using (var rig = new ControlRig(device, ControlRig.FeaturesOf(rings)))
        {
            Assert.Equal(s_mac, MacOf(device));
            Assert.Equal(Ok, rig.Send([1, 1, .. s_other], 4));
            Assert.Equal(s_other, MacOf(device));
            byte[] piece = new byte[4];
            device.ReadConfig(4, piece);
            Assert.Equal([0xcd, 0xef, 1, 0], piece);
            Assert.Equal(Error, rig.Send([1, 1, 0x53, 0, 0, 0, 0, 1]));
            Assert.Equal(Error, rig.Send([1, 1, 0, 0, 0, 0, 0, 0]));
            Assert.Equal(s_other, MacOf(device));
        }

        Assert.Equal(s_other, MacOf(device));
        device.Reset();
        Assert.Equal(s_mac, MacOf(device));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_change_of_the_address_is_told_once_and_nothing_else_is(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        var seen = new List<byte[]>();
        device.ConfigChanged += () => seen.Add(MacOf(device));
        Assert.Equal(Ok, rig.Send([1, 1, .. s_mac]));
        Assert.Equal(Ok, rig.Send([4, 0, 2, 0]));
        Assert.Equal(Error, rig.Send([1, 1, 0x53, 0, 0, 0, 0, 1]));
        Assert.Empty(seen);
        Assert.Equal(Ok, rig.Send([1, 1, .. s_other]));
        Assert.Equal(Ok, rig.Send([1, 1, .. s_other]));
        Assert.Equal(s_other, Assert.Single(seen));
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_commands_that_are_too_short_or_too_long_get_an_error_and_change_nothing(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        foreach (byte[] command in Commands)
        {
            for (int length = 0; length < command.Length; length++)
            {
                Assert.Equal(Error, rig.Send(command.AsSpan(0, length)));
            }

            Assert.Equal(Error, rig.Send([.. command, 0]));
            Assert.Equal(Error, rig.Send([.. command, .. new byte[5000]], 1, 1));
        }

        Assert.Equal(s_mac, MacOf(device));
        Assert.False(device.Pairs[1].IsOn);
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_without_room_for_the_answer_the_command_comes_back_unserved_and_the_queue_is_broken(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        Assert.Empty(rig.Exchange([1, 1, .. s_other], [], out uint written));
        Assert.Equal(0u, written);
        Assert.Equal(ChainFault.NoRoomForStatus, rig.Loop.Queue.Fault);
        Assert.Equal(s_mac, MacOf(device));
        Assert.Empty(rig.SendAll([0, 0, 1]));
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_pairs_0_and_more_than_there_are_get_an_error(Rings rings)
    {
        using NetDevice device = Device(pairs: 4);
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        Assert.Equal(Ok, rig.Send([4, 0, 3, 0]));
        foreach (ushort count in (ushort[])[0, 5, 0x100, 0x102, 0x8000, ushort.MaxValue])
        {
            Assert.Equal(Error, rig.Send([4, 0, .. BitConverter.GetBytes(count)]));
            Assert.Equal([true, true, true, false], device.Pairs.Select(pair => pair.IsOn));
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_address_tables_whose_counts_do_not_fit_or_overflow_get_an_error(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        foreach (uint count in (uint[])[1, 3, 0x2AAA_AAAB, 0x5555_5555, 0xAAAA_AAAA, 0xAAAA_AAAB, 0xFFFF_FFFE, uint.MaxValue])
        {
            Assert.Equal(Error, rig.Send([1, 0, .. BitConverter.GetBytes(count), .. new byte[12], .. Table(1)]));
            Assert.Equal(Error, rig.Send([1, 0, .. Table(1), .. BitConverter.GetBytes(count), .. new byte[12]]));
        }

        Assert.Equal(Ok, rig.Send([1, 0, .. Table(700), .. Table(700)], 3, 1000));
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_unknown_classes_and_commands_get_an_error(Rings rings)
    {
        using NetDevice device = Device();
        using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings));
        foreach (byte @class in Enumerable.Range(0, 256).Select(value => (byte)value))
        {
            foreach (byte command in (byte[])[0, 1, 2, 3, 5, 6, 255])
            {
                bool isKnown = (@class, command) is (0 or 1, 0 or 1) or (4, 0);
                Assert.True(isKnown || rig.Send([@class, command, 1, 0]) == Error, $"class {@class}, command {command}");
            }
        }

        Assert.Equal(Error, rig.Send([0, 0, 2]));
    }

    [Theory, MemberData(nameof(Formats))]
    public void N5_commands_of_features_that_were_not_negotiated_get_an_error(Rings rings)
    {
        using NetDevice device = Device();
        (ulong Feature, byte[][] Commands)[] needs =
        [
            (NetFeatures.CtrlRx, Commands[..4]),
            (NetFeatures.CtrlMacAddr, [Commands[4]]),
            (NetFeatures.CtrlVq, Commands),
        ];
        foreach ((ulong feature, byte[][] commands) in needs)
        {
            using var rig = new ControlRig(device, ControlRig.FeaturesOf(rings) & ~feature);
            Assert.All(commands, command => Assert.Equal(Error, rig.Send(command)));
        }

        // Without several pairs the control queue follows the first (virtio 1.2 §5.1.2), and nobody can ask for the second.
        using var third = new ControlRig(device, ControlRig.FeaturesOf(rings, pairs: 1), index: 2);
        Assert.Equal(Error, third.Send(Commands[5]));
        Assert.Equal(Ok, third.Send(Commands[0]));
    }

    [Theory, MemberData(nameof(Formats))]
    public void All_pairs_receive_without_a_control_queue_and_the_first_alone_with_one_until_the_driver_says_more(Rings rings)
    {
        using NetDevice device = Device();
        ulong features = ControlRig.FeaturesOf(rings);
        using var first = new PairRig(device, features, pair: 0);
        using var second = new PairRig(device, features, pair: 1);
        Assert.Equal((true, true), Passes());
        using (var control = new ControlRig(device, features))
        {
            Assert.Equal((true, false), Passes());
            Assert.Equal(1, second.Pair.Drops[Drop.Disabled]);
            control.Send([4, 0, 2, 0]);
            Assert.Equal((true, true), Passes());
            control.Send([4, 0, 1, 0]);
            Assert.Equal((true, false), Passes());
        }

        // Whoever goes on without a control queue has other means; a queue that was only paused finds its driver's choice.
        Assert.Equal((true, true), Passes());
        using (var control = new ControlRig(device, features))
        {
            Assert.Equal((true, false), Passes());
            control.Send([4, 0, 2, 0]);
        }

        using (new ControlRig(device, features))
        {
            Assert.Equal((true, true), Passes());
        }

        device.Reset();
        using (new ControlRig(device, features))
        {
            Assert.Equal((true, false), Passes());
        }

        (bool First, bool Second) Passes() => (Passed(first), Passed(second));

        static bool Passed(PairRig rig)
        {
            rig.Offer(1526);
            rig.Send(NetHeader.Plain, Frames.Pattern(64));
            rig.Run();
            Assert.Equal(1, rig.TakeSent());
            return rig.Take() is not null;
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void Frames_that_wait_for_room_on_a_pair_are_given_back_when_it_is_switched_off_and_its_worker_wakes(Rings rings)
    {
        using NetDevice device = Device();
        ulong features = ControlRig.FeaturesOf(rings);
        using var control = new ControlRig(device, features);
        using var second = new PairRig(device, features, pair: 1);
        control.Send([4, 0, 2, 0]);
        second.Send(NetHeader.Plain, Frames.Pattern(64));
        second.Run();
        Assert.Equal(0, second.TakeSent());
        Assert.True(second.ReceiveLoop.TryArm() && second.TransmitLoop.TryArm());
        Assert.False(IsReadable(second.ReceiveLoop.WakeDescriptor));

        control.Send([4, 0, 1, 0]);
        Assert.True(IsReadable(second.ReceiveLoop.WakeDescriptor));
        second.Run();
        Assert.Equal(1, second.TakeSent());
        Assert.False(IsReadable(second.ReceiveLoop.WakeDescriptor));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_source_generates_on_the_pairs_in_use_and_wakes_for_the_others(Rings rings)
    {
        using var device = new NetDevice(new SourcePort(64, s_mac), new NetSettings { QueuePairs = 2 });
        ulong features = ControlRig.FeaturesOf(rings);
        using var control = new ControlRig(device, features);
        using var second = new PairRig(device, features, pair: 1);
        second.Offer(1526, 1526);
        second.Run();
        Assert.Null(second.Take());
        Assert.True(second.ReceiveLoop.TryArm());
        Assert.False(IsReadable(second.ReceiveLoop.WakeDescriptor));

        control.Send([4, 0, 2, 0]);
        Assert.True(IsReadable(second.ReceiveLoop.WakeDescriptor));
        second.Run();
        Assert.NotNull(second.Take());
        Assert.NotNull(second.Take());
        Assert.False(IsReadable(second.ReceiveLoop.WakeDescriptor));

        control.Send([4, 0, 1, 0]);
        second.Offer(1526);
        second.Run();
        Assert.Null(second.Take());
    }

    [Fact]
    public void When_a_pair_is_off_nothing_is_received_any_more_though_its_worker_was_in_the_middle_of_a_turn()
    {
        using var pair = new QueuePair(1, new Link(1500));
        long received = 0;
        bool isDone = false;
        var worker = new Thread(() =>
        {
            while (!Volatile.Read(ref isDone))
            {
                if (pair.TryBeginReceive())
                {
                    Volatile.Write(ref received, received + 1);
                    Thread.SpinWait(20);
                    Volatile.Write(ref received, received + 1);
                    pair.EndReceive();
                }
            }
        });
        worker.Start();
        try
        {
            for (int i = 0; i < 300; i++)
            {
                long before = Volatile.Read(ref received);
                Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref received) > before, 10_000), "a pair that is on receives");
                pair.Switch(false);
                long seen = Volatile.Read(ref received);
                Assert.True(long.IsEvenInteger(seen));
                Thread.SpinWait(2000);
                Assert.Equal(seen, Volatile.Read(ref received));
                pair.Switch(true);
            }
        }
        finally
        {
            Volatile.Write(ref isDone, true);
            worker.Join();
        }
    }

    private static NetDevice Device(int pairs = 2) => new(new LoopPort(), new NetSettings { QueuePairs = pairs, Mac = s_mac });

    private static byte[] Table(int entries) => [.. BitConverter.GetBytes(entries), .. Enumerable.Repeat(s_other, entries).SelectMany(address => address)];

    private static byte[] MacOf(NetDevice device)
    {
        byte[] mac = new byte[6];
        device.ReadConfig(0, mac);
        return mac;
    }

    private static bool IsReadable(int descriptor)
    {
        using var epoll = new Epoll();
        epoll.Add(descriptor, 1);
        return epoll.Wait(new ulong[1], 0) != 0;
    }
}
