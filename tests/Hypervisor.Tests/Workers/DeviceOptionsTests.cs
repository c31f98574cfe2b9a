using Paravane.Hypervisor.Verbs;
using Paravane.Hypervisor.Workers;

namespace Paravane.Hypervisor.Tests.Workers;

public sealed class DeviceOptionsTests
{
    [Fact]
    public void A_disk_becomes_the_options_of_its_worker()
    {
        DiskOptions disk = DiskOptions.Parse("path=/images/a,,b=c.img,readonly=on,serial=root,num-queues=3,queue-size=128,direct=on,logical-block-size=4096,workers=per-queue,poll=off,cpus=1,,2,id=root");
        Assert.Equal(
        [
            "--blk-file=/images/a,b=c.img", "--read-only", "--serial=root", "--direct=on", "--logical-block-size=4096", "--workers=per-queue", "--poll=off", "--cpus=1,2",
            "--num-queues=3", "--queue-size=128",
        ], disk.WorkerArguments(cpus: 8));
        Assert.Equal("root", disk.Id);
        Assert.Equal(128, disk.QueueSize);
        Assert.Equal(["--blk-ram=64M", "--num-queues=8", "--queue-size=256"], DiskOptions.Parse("ram=64M").WorkerArguments(cpus: 8));
        Assert.Equal(["--blk-null=1T", "--num-queues=1", "--queue-size=256"], DiskOptions.Parse("null=1T").WorkerArguments(cpus: 1));
    }

    [Fact]
    public void A_NIC_becomes_the_options_of_its_worker()
    {
        NetOptions net = NetOptions.Parse("tap:tap0,mac=52:54:00:12:34:56,mtu=9000,queue-pairs=2,queue-size=1024,workers=per-pair,id=lan");
        Assert.Equal(["--net=tap:tap0", "--mac=52:54:00:12:34:56", "--mtu=9000", "--workers=per-pair", "--queue-pairs=2", "--queue-size=1024"], net.WorkerArguments(cpus: 4));
        const string Mac = "mac=52:54:00:00:00:01";
        Assert.Equal(["--net=loop", $"--{Mac}", "--queue-pairs=4", "--queue-size=256"], NetOptions.Parse($"loop,{Mac}").WorkerArguments(cpus: 4));
        Assert.Equal(
            ["--net=source", $"--{Mac}", "--frame-size=1518", "--queue-pairs=1", "--queue-size=256"],
            NetOptions.Parse($"source,frame-size=1518,{Mac}").WorkerArguments(cpus: 1));
    }

    [Fact]
    public void A_NIC_without_an_address_gets_one_of_its_own_that_stays()
    {
        NetOptions first = NetOptions.Parse("loop"), second = NetOptions.Parse("loop");
        string mac = Assert.Single(first.WorkerArguments(cpus: 1), argument => argument.StartsWith("--mac=52:54:00:", StringComparison.Ordinal));
        Assert.Contains(mac, first.WorkerArguments(cpus: 1));
        Assert.DoesNotContain(mac, second.WorkerArguments(cpus: 1));
    }

    [Fact]
    public void A_socket_keeps_what_its_back_end_may_not_say()
    {
        SocketOptions net = SocketOptions.Parse("type=net,path=/run/x.sock,mac=52:54:00:12:34:56,mtu=1400,queue-pairs=2");
        Assert.Equal(("/run/x.sock", (ushort)1, (int?)2, (int?)1400), (net.Path, net.DeviceId, net.Queues, net.MtuBytes));
        SocketOptions other = SocketOptions.Parse("path=/run/fs.sock,type=26,config=0011ff,num-queues=2,id=fs");
        Assert.Equal(26, other.DeviceId);
        Assert.Equal([0, 0x11, 0xff], other.Config);
        Assert.Equal("fs", other.Id);
    }

    [Theory]
    [InlineData("disk", "", "a part is empty")]
    [InlineData("disk", "readonly=on", "give one of path=FILE, ram=SIZE and null=SIZE")]
    [InlineData("disk", "path=a,ram=1M", "give one of")]
    [InlineData("disk", "path=", "path has no value")]
    [InlineData("disk", "path=a,path=b", "path is given twice")]
    [InlineData("disk", "path=a,", "a part is empty")]
    [InlineData("disk", "path=a\0b", "a zero character has no place in it")]
    [InlineData("disk", "path=a,readonly", "'readonly' is not KEY=VALUE")]
    [InlineData("disk", "path=a,readonly=yes", "readonly=yes is neither on nor off")]
    [InlineData("disk", "path=a,colour=red", "colour is not known here; there are path, ram, null, readonly")]
    [InlineData("disk", "ram=1M,direct=on", "direct=on goes with path=FILE")]
    [InlineData("disk", "ram=much", "ram=much is not a size")]
    [InlineData("disk", "ram=1M,num-queues=0", "num-queues=0 is not a number from 1 to 256")]
    [InlineData("disk", "ram=1M,queue-size=100", "queue-size=100 is not a power of two")]
    [InlineData("disk", "ram=1M,queue-size=2", "queue-size=2 is not a number from 4 to 32768")]
    [InlineData("disk", "ram=1M,serial=123456789012345678901", "has more than 20 bytes")]
    [InlineData("disk", "ram=1M,logical-block-size=3", "neither 512 nor 4096")]
    [InlineData("disk", "ram=1M,workers=per-pair", "workers=per-pair is neither one nor per-queue")]
    [InlineData("disk", "ram=1M,poll=often", "poll=often is none of")]
    [InlineData("disk", "ram=1M,cpus=x", "cpus=x is not a list")]
    [InlineData("disk", "ram=1M,id=a/b", "id=a/b is not a name")]
    [InlineData("net", "", "'' is none of tap:NAME, loop, drop and source")]
    [InlineData("net", "tap:", "'tap:' is none of")]
    [InlineData("net", "loop,mac=01:00:5e:00:00:01", "mac=01:00:5e:00:00:01 is not an address")]
    [InlineData("net", "loop,mac=52:54", "mac=52:54 is not an address")]
    [InlineData("net", "loop,mtu=10", "mtu=10 is not a number from 68 to 65535")]
    [InlineData("net", "loop,queue-pairs=128", "queue-pairs=128 is not a number from 1 to 127")]
    [InlineData("net", "loop,frame-size=64", "frame-size goes with source")]
    [InlineData("vhost-user", "path=/x", "type is missing")]
    [InlineData("vhost-user", "type=blk", "path is missing")]
    [InlineData("vhost-user", "type=disk,path=/x", "type=disk is none of blk, net and")]
    [InlineData("vhost-user", "type=0,path=/x", "type=0 is none of")]
    [InlineData("vhost-user", "type=blk,path=/x,mac=52:54:00:12:34:56", "mac is not known here")]
    [InlineData("vhost-user", "type=26,path=/x,config=abc", "config=abc is not an even number of hexadecimal digits")]
    [InlineData("vhost-user", "type=26,path=/x,config=ab,config-size=4", "config and config-size exclude each other")]
    public void A_wrong_value_is_named_with_what_would_be_right(string option, string text, string expected)
    {
        UsageException error = Assert.Throws<UsageException>(() => option switch
        {
            "disk" => DiskOptions.Parse(text),
            "net" => NetOptions.Parse(text),
            _ => (DeviceOptions)SocketOptions.Parse(text),
        });
        Assert.StartsWith($"--{option}: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_that_no_socket_can_have_is_refused()
    {
        UsageException error = Assert.Throws<UsageException>(() => SocketOptions.Parse($"type=blk,path=/{new string('x', 107)}"));
        Assert.Contains("has 108 bytes, more than the 107 of a socket address", error.Message, StringComparison.Ordinal);
    }
}
