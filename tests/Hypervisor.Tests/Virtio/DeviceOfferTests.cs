using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>What a guest is shown of a back-end.</summary>
public sealed class DeviceOfferTests
{
    private const ulong Mac = 1UL << 5, Mtu = 1UL << 3, Mergeable = 1UL << 15, Status = 1UL << 16, Control = 1UL << 17, MultiQueue = 1UL << 22;
    private const ulong Base = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | Mergeable;

    [Fact]
    public void Features_that_nobody_would_serve_are_not_offered_and_all_others_are()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(ulong.MaxValue & ~((0x3fUL << 18) | Mergeable)));
        const ulong Transport = ((1UL << 50) - 1) & ~((1UL << 24) - 1);
        Assert.Equal(VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked | VirtioFeatures.InOrder
            | VirtioFeatures.RingReset, rig.Device.Features & Transport);
        Assert.Equal(ulong.MaxValue & ~((0x3fUL << 18) | Mergeable | Transport), rig.Device.Features & ~Transport);
    }

    [Theory]
    [InlineData(2, null, 2)]
    [InlineData(4, 3, 3)]
    [InlineData(1, null, 1)]
    [InlineData(0, null, 1)]
    [InlineData(65535, null, 200)]
    public void A_disk_shows_the_least_of_what_its_configuration_its_back_end_and_the_user_say(ushort said, int? limit, int expected)
    {
        using var rig = new DeviceRig(
            _ => DeviceRig.Disk(script: message => message.Request switch
            {
                FrontendRequest.GetConfig => DeviceRig.ConfigAnswer(message, DeviceRig.BlockConfig(64, said)),
                FrontendRequest.GetQueueNum => Answer.Of(200),
                _ => null,
            }),
            options => options with { QueueLimit = limit });
        Assert.Equal(expected, rig.Device.QueueCount);
        byte[] queues = new byte[2];
        rig.Device.ReadConfig(34, queues);
        Assert.Equal(expected, BitConverter.ToUInt16(queues));
    }

    /// <summary>pairs in the configuration, GET_QUEUE_NUM, limit → queues, pairs shown, several pairs offered, control queue offered.</summary>
    [Theory]
    [InlineData(4, 9, null, 9, 4, true, true)]
    [InlineData(4, 9, 2, 5, 2, true, true)]
    [InlineData(4, 9, 1, 3, 1, false, true)]
    [InlineData(4, 8, null, 2, 1, false, false)]
    [InlineData(4, 4, null, 2, 1, false, false)]
    [InlineData(65535, 255, null, 255, 127, true, true)]
    [InlineData(0, 3, null, 3, 1, false, true)]
    public void A_network_device_shows_pairs_only_with_a_control_queue_that_the_back_end_serves(
        ushort pairs, int rings, int? limit, int queues, int shown, bool many, bool control)
    {
        using var rig = new DeviceRig(_ => Net(Base | Control | MultiQueue | Mac | Status, pairs, rings), options => options with
        {
            DeviceId = VhostUserOptions.NetDevice,
            QueueLimit = limit,
        });
        Assert.Equal(queues, rig.Device.QueueCount);
        Assert.Equal(many, (rig.Device.Features & MultiQueue) != 0);
        Assert.Equal(control, (rig.Device.Features & Control) != 0);
        byte[] config = new byte[12];
        rig.Device.ReadConfig(0, config);
        Assert.Equal(shown, BitConverter.ToUInt16(config, 8));
    }

    [Theory]
    [InlineData(true, 4, 8)]
    [InlineData(false, 2, 2)]
    public void The_control_queue_behind_fewer_pairs_is_handed_over_as_the_back_end_numbers_it(bool many, int queue, byte ring)
    {
        using var rig = new DeviceRig(_ => Net(Base | Control | MultiQueue, 4, 9), options => options with { DeviceId = VhostUserOptions.NetDevice, QueueLimit = 2 });
        rig.Start(VirtioFeatures.Version1 | Control | (many ? MultiQueue : 0), rig.Queue(0), rig.Queue(1), rig.Queue(queue));

        // With several pairs it starts first: it says which of them are in use.
        byte[] expected = many ? [ring, 0, 1] : [0, 1, ring];
        Assert.Equal(expected, rig.Source[0].Received.Where(message => message.Request == FrontendRequest.SetVringKick).Select(message => message.Payload[0]));
    }

    [Fact]
    public void Without_a_configuration_of_its_own_a_network_device_has_the_users()
    {
        byte[] mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        using var rig = new DeviceRig(_ => new ScriptedBackEnd { Features = Base | Control | MultiQueue, ProtocolFeatures = ProtocolFeatures.Mq | ProtocolFeatures.Mtu | ProtocolFeatures.ReplyAck }, options => options with
        {
            DeviceId = VhostUserOptions.NetDevice,
            Mac = mac,
            MtuBytes = 9000,
        });
        Assert.Equal(VirtioFeatures.Version1 | Mergeable | Mac | Mtu | Status, rig.Device.Features);
        byte[] config = new byte[12];
        rig.Device.ReadConfig(0, config);
        Assert.Equal([.. mac, 1, 0, 1, 0, 0x28, 0x23], config);
        rig.Device.Start(rig.Device.Features, [rig.Queue(0), rig.Queue(1)]);
        Assert.Equal(VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | Mergeable, rig.Await(0, FrontendRequest.SetFeatures).Number);
        Assert.Equal(9000UL, rig.Await(0, FrontendRequest.NetSetMtu).Number);
    }

    [Fact]
    public void Any_device_type_passes_through_with_the_configuration_that_the_user_gives()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk(), options => options with { DeviceId = 26, Config = [1, 2, 3, 4] });
        Assert.Equal(26, rig.Device.DeviceId);
        Assert.Equal(2, rig.Device.QueueCount);
        Assert.Equal(4, rig.Device.ConfigLengthBytes);
        Assert.DoesNotContain(rig.Source[0].Received, message => message.Request == FrontendRequest.GetConfig);
    }

    [Theory]
    [InlineData("net as blk", "scripted: it is a network device, not a block device")]
    [InlineData("blk as net", "scripted: it is a block device, not a network device")]
    [InlineData("legacy", "scripted: it offers no VIRTIO_F_VERSION_1")]
    [InlineData("no configuration", "scripted: it gives no configuration")]
    [InlineData("short configuration", "scripted: GET_CONFIG: the back-end refused 60 bytes")]
    [InlineData("odd block", "scripted: its configuration is not that of a block device: logical blocks of 3 bytes")]
    [InlineData("huge", "scripted: its configuration is not that of a block device: capacity")]
    [InlineData("no queues", "scripted: it has no queues")]
    [InlineData("no vhost-user", "scripted: GET_FEATURES: no answer within")]
    public void A_back_end_that_cannot_be_what_the_user_says_is_refused_in_one_line(string kind, string expected)
    {
        const ulong BlockSize = 1UL << 6;
        FrontendException error = Assert.Throws<FrontendException>(() => new DeviceRig(_ => kind switch
        {
            "net as blk" => Net(Base | Mac, 1, 2),
            "legacy" => DeviceRig.Disk(DeviceRig.Features & ~VirtioFeatures.Version1),
            "no configuration" => DeviceRig.Disk(protocol: DeviceRig.Usual & ~ProtocolFeatures.Config),
            "short configuration" => DeviceRig.Disk(script: message => message.Request == FrontendRequest.GetConfig ? new Answer() : null),
            "odd block" => Disk(DeviceRig.BlockConfig(64, block: 3)),
            "huge" => Disk(DeviceRig.BlockConfig(ulong.MaxValue)),
            "no queues" => DeviceRig.Disk(script: message => message.Request == FrontendRequest.GetQueueNum ? Answer.Of(0) : null),
            "no vhost-user" => new ScriptedBackEnd(_ => new Answer { Silent = true }),
            _ => Disk(DeviceRig.BlockConfig(64)),
        }, options => options with { DeviceId = kind == "blk as net" ? VhostUserOptions.NetDevice : VhostUserOptions.BlockDevice }, TimeSpan.FromMilliseconds(kind == "no vhost-user" ? 200 : 10_000)));
        Assert.StartsWith($"disk0: {expected}", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);

        static ScriptedBackEnd Disk(byte[] config) => DeviceRig.Disk(DeviceRig.Features | BlockSize,
            script: message => message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, config) : null);
    }

    private static ScriptedBackEnd Net(ulong features, ushort pairs, int rings) => DeviceRig.Disk(features, script: message => message.Request switch
    {
        FrontendRequest.GetConfig => DeviceRig.ConfigAnswer(message, [.. DeviceRig.NetConfig(pairs), .. new byte[48]]),
        FrontendRequest.GetQueueNum => Answer.Of((ulong)rings),
        _ => null,
    });
}
