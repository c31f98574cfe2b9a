namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes the whole guest: a virtio driver for a disk and a network device, some hundred instructions at ring 3, without an operating system.</summary>
internal static class DriverProgram
{
    /// <summary>Writes it.</summary>
    /// <param name="transport">Where it finds its devices.</param>
    /// <param name="disk">Work for the disk, or null without one.</param>
    /// <param name="net">Work for the network device, or null without one.</param>
    /// <param name="tscKilohertz">Frequency of the guest's time stamp counter.</param>
    /// <returns>The code, which is entered at its first byte.</returns>
    public static byte[] Write(DriverTransport transport, DiskWork? disk, NetWork? net, int tscKilohertz)
    {
        var code = new CodeWriter();
        Label main = code.NewLabel(), giveUp = code.NewLabel();
        code.Mov(Register.R15, DriverLayout.Report);
        code.Jmp(main);
        var pattern = new PatternCode(code, disk, net);
        NetCode? frames = net is null ? null : new NetCode(code, net, transport, pattern, firstQueue: 0, tscKilohertz, giveUp);
        DiskCode? blocks = disk is null ? null : new DiskCode(code, disk, transport, pattern, firstQueue: 2, tscKilohertz, giveUp);

        code.Bind(giveUp);
        code.Store(At(DriverLayout.Fault), Register.Rax, Width.Qword);
        code.Store(At(DriverLayout.FaultDevice), Register.Rdx, Width.Qword);
        End(code, DriverState.Failed);

        code.Bind(main);
        frames?.Start();
        blocks?.Start();
        frames?.Begin();
        blocks?.Begin();
        code.Store(At(DriverLayout.State), (int)DriverState.Running, Width.Qword);
        Label turn = code.Here();
        code.Pause();
        frames?.Turn();
        blocks?.Turn();
        code.Load(Register.Rax, At(DriverLayout.Stop), Width.Qword);
        code.Test(Register.Rax, Register.Rax);
        code.J(Condition.Equal, turn);
        frames?.GoOnWhileBusy(turn);
        blocks?.GoOnWhileBusy(turn);
        frames?.Finish();
        blocks?.Finish();
        End(code, DriverState.Done);
        return code.Finish();
    }

    private static void End(CodeWriter code, DriverState state)
    {
        code.Store(At(DriverLayout.State), (int)state, Width.Qword);
        code.Out(DriverLayout.ExitPort, Width.Byte);
        code.Jmp(code.Here());
    }

    private static MemoryOperand At(int offset) => new(Register.R15, offset);
}
