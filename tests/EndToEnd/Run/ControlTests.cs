using System.Text.Json;
using Paravane.EndToEnd.Processes;
using Paravane.Peers;

namespace Paravane.EndToEnd.Run;

/// <summary><c>paravane ctl</c> and a machine on the host's KVM.</summary>
[Trait("Needs", "KVM")]
public sealed class ControlTests
{
    [Fact]
    public void Status_and_metrics_tell_what_there_is()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--cpus=2", "--disk=ram=16M,id=root", "--net=loop", "--disk=null=1G");
        JsonElement status = machine.Ask("status");
        Assert.Equal("running", status.GetProperty("state").GetString());
        Assert.Equal(2, status.GetProperty("cpus").GetInt32());
        Assert.Equal(32 << 20, status.GetProperty("memory_bytes").GetInt32());
        Assert.Equal(["root", "disk0", "net0"], machine.DeviceNames());
        Assert.Equal([2, 2, 1], status.GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("virtio_device_id").GetInt32()));
        Assert.Equal("0000:00:01.0", status.GetProperty("devices")[0].GetProperty("address").GetString());
        JsonElement metrics = machine.Ask("metrics");
        Assert.True(metrics.GetProperty("exits").GetInt64() >= BareKernel.Greeting.Length);
        Assert.True(metrics.GetProperty("exits_by_reason").GetProperty("io").GetInt64() >= BareKernel.Greeting.Length);
        JsonElement serial = metrics.GetProperty("accesses").EnumerateArray().Single(range => range.GetProperty("device").GetString() == "serial");
        Assert.Equal(BareKernel.Greeting.Length, serial.GetProperty("writes").GetInt32());
        Assert.True(metrics.GetProperty("start_us").GetProperty("total").GetInt64() > 0);
        machine.Ask("quit");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void A_paused_guest_stands_still_and_goes_on()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--disk=ram=16M");
        for (int round = 0; round < 3; round++)
        {
            machine.Ask("pause");
            Assert.Equal("paused", machine.Ask("status").GetProperty("state").GetString());
            long before = Exits();
            Thread.Sleep(30);
            Assert.Equal(before, Exits());
            machine.Ask("pause"); // once more is no harm
            machine.Ask("resume");
            Assert.True(SpinWait.SpinUntil(() => Exits() > before, MachineProcess.Limit), "it does not go on");
            machine.Ask("resume");
        }

        machine.Ask("pause");
        machine.Ask("power-button");
        machine.Ask("resume"); // what was pressed meanwhile is seen now
        machine.ExpectEnd(0);

        long Exits() => machine.Ask("metrics").GetProperty("exits").GetInt64();
    }

    [Theory, InlineData(false), InlineData(true)]
    public void A_machine_is_quit_with_code_0(bool paused)
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Deaf(), "--disk=ram=16M", "--net=loop");
        if (paused)
        {
            machine.Ask("pause");
        }

        machine.Ask("quit");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void Devices_of_each_kind_come_and_go()
    {
        using var scratch = TemporaryDirectory.Create();
        using ChildProcess server = BackEnd.Start(Programs.Block, scratch.File("socket"), "--blk-ram=16M");
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--disk=ram=16M");
        Assert.Equal("disk1", machine.Ask("add-disk", "ram=16M").GetProperty("name").GetString());
        Assert.Equal("net0", machine.Ask("add-net", "loop,mac=52:54:00:12:34:56").GetProperty("name").GetString());
        Assert.Equal("other", machine.Ask("add-vhost-user", $"type=blk,path={scratch.File("socket")},id=other").GetProperty("name").GetString());
        Assert.Equal(["disk0", "disk1", "net0", "other"], machine.DeviceNames());
        Assert.Equal(3, machine.Workers.Length);

        machine.Ask("remove", "disk1"); // the guest lets it go
        machine.Ask("force-remove", "other");
        Assert.True(SpinWait.SpinUntil(() => machine.DeviceNames().Length == 2, MachineProcess.Limit), string.Join(' ', machine.DeviceNames()));
        Assert.Equal(["disk0", "net0"], machine.DeviceNames());
        Assert.True(SpinWait.SpinUntil(() => machine.Workers.Length == 2, MachineProcess.Limit));
        Assert.False(server.HasExited, server.Transcript);
        Assert.Equal("disk1", machine.Ask("add-disk", "ram=16M").GetProperty("name").GetString()); // its name and slot are free again
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void A_guest_that_does_not_let_a_device_go_keeps_it_until_it_is_forced()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Deaf(), "--disk=ram=16M");
        machine.Ask("remove", "disk0");
        Assert.True(machine.Ask("status").GetProperty("devices")[0].GetProperty("leaving").GetBoolean());
        machine.Ask("force-remove", "disk0");
        Assert.True(SpinWait.SpinUntil(() => machine.DeviceNames().Length == 0 && machine.Workers.Length == 0, MachineProcess.Limit));
        machine.Ask("quit");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void What_cannot_be_is_refused_in_one_line_and_changes_nothing()
    {
        using var scratch = TemporaryDirectory.Create();
        using ChildProcess server = BackEnd.Start(Programs.Net, scratch.File("socket"), "--net=loop");
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--disk=ram=16M,id=mine");
        Assert.Equal("paravane ctl: add-disk: --disk: 'big' is not KEY=VALUE\n", machine.AskInVain("add-disk", "big") + "\n");
        Assert.Contains($"--blk-file={scratch.File("none")}: there is no such file", machine.AskInVain("add-disk", $"path={scratch.File("none")}"), StringComparison.Ordinal);
        Assert.Contains("two devices cannot both be called mine", machine.AskInVain("add-net", "loop,id=mine"), StringComparison.Ordinal);
        Assert.Contains("no socket at", machine.AskInVain("add-vhost-user", $"type=blk,path={scratch.File("none")}"), StringComparison.Ordinal);
        Assert.Contains("it is a network device, not a block device", machine.AskInVain("add-vhost-user", $"type=blk,path={scratch.File("socket")}"), StringComparison.Ordinal);
        Assert.Contains("there is no device called yours", machine.AskInVain("remove", "yours"), StringComparison.Ordinal);
        Assert.Contains("there is no device called yours", machine.AskInVain("force-remove", "yours"), StringComparison.Ordinal);
        Assert.Contains("'much' is not a size", machine.AskInVain("add-memory", "much"), StringComparison.Ordinal);
        Assert.Contains("a multiple of 128M is needed", machine.AskInVain("add-memory", "1M"), StringComparison.Ordinal);
        Assert.Equal(["mine"], machine.DeviceNames());
        Assert.Single(machine.Workers);
        Assert.Equal(32 << 20, machine.Ask("status").GetProperty("memory_bytes").GetInt32());
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void Without_PCI_nothing_comes_or_goes()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--transport=mmio", "--disk=ram=16M");
        Assert.Contains("virtio-mmio has no hot plug", machine.AskInVain("add-disk", "ram=16M"), StringComparison.Ordinal);
        Assert.Contains("virtio-mmio has no hot plug", machine.AskInVain("remove", "disk0"), StringComparison.Ordinal);
        Assert.Contains("virtio-mmio has no hot plug", machine.AskInVain("force-remove", "disk0"), StringComparison.Ordinal);
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void Memory_is_added_for_workers_and_guest()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--disk=ram=16M", "--net=loop");
        machine.Ask("add-memory", "128M");
        machine.Ask("add-memory", "256M");
        Assert.Equal((32 + 128 + 256) << 20, machine.Ask("status").GetProperty("memory_bytes").GetInt32());
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }

    [Theory]
    [InlineData("", "Required command was not provided")]
    [InlineData("frobnicate", "'frobnicate'")]
    [InlineData("status now", "'now'")]
    [InlineData("add-disk", "Required argument missing for command: 'add-disk'")]
    public void A_wrong_request_is_a_usage_error(string words, string expected)
    {
        using var scratch = TemporaryDirectory.Create();
        string line = BackEndProgram.Refuses(2, "paravane", ["ctl", scratch.File("control"), .. words.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        Assert.StartsWith("paravane ctl", line, StringComparison.Ordinal);
        Assert.Contains(expected, line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_socket_without_a_machine_is_told()
    {
        using var scratch = TemporaryDirectory.Create();
        Assert.Contains("no socket at", BackEndProgram.Refuses(1, "paravane", "ctl", scratch.File("none"), "status"), StringComparison.Ordinal);
        using ChildProcess other = BackEnd.Start(Programs.Net, scratch.File("socket"), "--net=loop");
        Assert.StartsWith("paravane ctl: ", BackEndProgram.Refuses(1, "paravane", "ctl", scratch.File("socket"), "status"), StringComparison.Ordinal);
    }
}
