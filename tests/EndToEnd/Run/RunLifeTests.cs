using System.Net.Sockets;

namespace Paravane.EndToEnd.Run;

/// <summary>How a machine of <c>paravane run</c> ends, and what is left of it: nothing.</summary>
[Trait("Needs", "KVM")]
public sealed class RunLifeTests
{
    [Theory, InlineData(), InlineData("--disk=ram=16M", "--net=loop"), InlineData("--transport=mmio", "--disk=ram=16M", "--net=loop"), InlineData("--no-reboot")]
    public void A_guest_that_switches_itself_off_ends_the_machine_in_order(params string[] options)
    {
        using MachineProcess machine = MachineProcess.Begin(BareKernel.SwitchingOff(), options);
        machine.ExpectEnd(0);
        Assert.Equal(BareKernel.Farewell, machine.Process.Transcript);
    }

    [Fact]
    public void The_console_may_be_a_file()
    {
        using MachineProcess machine = new();
        MachineProcess.RequireKvm();
        machine.Launch(BareKernel.SwitchingOff(), $"--console={machine.File("log")}");
        machine.ExpectEnd(0);
        Assert.Empty(machine.Process.Transcript);
        Assert.Equal(BareKernel.Farewell, File.ReadAllText(machine.File("log")));
    }

    [Fact]
    public void A_guest_restarts_by_every_way_and_keeps_its_workers()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Restarting(), "--disk=ram=16M", "--net=loop", "--cpus=2");
        Assert.Equal(3, machine.Ask("status").GetProperty("restarts").GetInt32());
        Assert.Equal(2, machine.Workers.Length);
        int[] reported = [.. machine.Ask("status").GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("worker_process").GetInt32()).Order()];
        Assert.Equal(machine.Workers.Order(), reported);
        Assert.All(machine.Ask("metrics").GetProperty("devices").EnumerateArray(), device => Assert.Equal(0, device.GetProperty("back_end_losses").GetInt32()));
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }

    [Fact]
    public void With_no_reboot_a_restart_is_the_end_and_a_triple_fault_a_failure()
    {
        using (MachineProcess machine = MachineProcess.Begin(BareKernel.Restarting(), "--no-reboot", "--disk=ram=16M"))
        {
            machine.ExpectEnd(0);
            Assert.Empty(machine.Process.Transcript);
        }

        using MachineProcess faulty = MachineProcess.Begin(BareKernel.Faulting(), "--no-reboot", "--disk=ram=16M");
        faulty.ExpectEnd(1);
        Assert.Matches(@"^paravane run: vcpu0: triple fault(, rip 0x1000000.*| \(where is not known: KVM has reset the vCPU\))\n$", faulty.Process.Transcript);
    }

    [Fact]
    public void A_guest_that_cannot_go_on_ends_the_machine_with_the_reason()
    {
        using MachineProcess machine = MachineProcess.Begin(BareKernel.Lost(), "--disk=ram=16M");
        machine.ExpectEnd(1);
        Assert.Matches("^paravane run: vcpu0: .*rip 0xc8000000.*\n$", machine.Process.Transcript);
    }

    [Theory, InlineData(MachineProcess.Terminate), InlineData(MachineProcess.Interrupt), InlineData(MachineProcess.HangUp)]
    public void A_signal_presses_the_power_button(int signal)
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Obedient(), "--disk=ram=16M", "--net=loop");
        machine.Process.Signal(signal);
        machine.ExpectEnd(0);
        Assert.Equal(BareKernel.Greeting, machine.Process.Transcript);
    }

    [Theory, InlineData(MachineProcess.Terminate), InlineData(MachineProcess.Interrupt)]
    public void A_second_signal_ends_a_guest_that_does_not_listen(int signal)
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Deaf(), "--disk=ram=16M", "--net=loop");
        machine.Process.Signal(signal);
        Assert.Equal("running", machine.Ask("status").GetProperty("state").GetString());
        Assert.False(machine.Process.HasExited);
        machine.Process.Signal(signal);
        machine.ExpectEnd(0);
    }

    [Fact]
    public void A_signal_before_there_is_a_guest_ends_the_start()
    {
        using MachineProcess machine = new();
        MachineProcess.RequireKvm();
        using Socket silent = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        silent.Bind(new UnixDomainSocketEndPoint(machine.File("silent")));
        silent.Listen();
        machine.Launch(BareKernel.Obedient(), "--disk=ram=16M", $"--vhost-user=type=net,path={machine.File("silent")}");
        using Socket session = silent.Accept(); // it waits for an answer now
        long start = Environment.TickCount64;
        machine.Process.Signal(MachineProcess.Terminate);
        machine.ExpectEnd(0);
        Assert.InRange(Environment.TickCount64 - start, 0, 4000);
    }

    [Fact]
    public void Workers_do_not_outlive_a_machine_that_was_killed_and_its_socket_is_replaced()
    {
        using MachineProcess machine = MachineProcess.Start(BareKernel.Deaf(), "--disk=ram=16M", "--disk=null=1G", "--net=loop");
        Assert.Equal(3, machine.Workers.Length);
        machine.Process.Signal(MachineProcess.Kill);
        machine.Process.WaitForExit(MachineProcess.Limit);
        machine.AssertNobodyIsLeft();
        Assert.True(Path.Exists(machine.ControlPath), "nothing was left behind, so there is nothing to replace");
        Assert.Contains("its machine has ended", machine.AskInVain("status"), StringComparison.Ordinal);
        machine.Launch(BareKernel.Obedient());
        machine.Process.WaitFor(BareKernel.Greeting, MachineProcess.Limit);
        machine.Ask("power-button");
        machine.ExpectEnd(0);
    }
}
