using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes the driver of the network device, on the wire of which every frame comes back: sends numbered frames and checks that they come in order, whole and once.</summary>
internal sealed class NetCode
{
    private const int ReceiveBurst = 64;

    /// <summary>
    /// Sequence number of probes. A queue that is set up and not enabled yet loses what is sent (vhost-user, "Ring states"), and nobody tells the driver when
    /// that is over; so it sends single frames that do not count until one comes back.
    /// </summary>
    private const int Probe = -1;

    /// <summary>Destination, source and the local experimental EtherType 1, as two words.</summary>
    private const ulong FirstWord = 0x5002_0200_0056_5002, SecondWord = 0x0000_b588_0100_0056;

    private readonly CodeWriter _code;
    private readonly NetWork _work;
    private readonly PatternCode _pattern;
    private readonly DeviceCode _device;
    private readonly CounterCode _counters;
    private readonly QueueCode _receive, _transmit;

    /// <summary>Writes the subroutines.</summary>
    public NetCode(CodeWriter code, NetWork work, DriverTransport transport, PatternCode pattern, int firstQueue, int tscKilohertz, Label giveUp)
    {
        _code = code;
        _work = work;
        _pattern = pattern;
        _device = new DeviceCode(code, transport, DriverDevice.Net, giveUp);
        _counters = new CounterCode(code, DriverDevice.Net, tscKilohertz);
        _receive = QueueCode.Of(
            work.Format, code, firstQueue, index: 0, NetWork.Slots,
            new ChainPart(DriverLayout.Receive, DriverLayout.FrameShift, 1 << DriverLayout.FrameShift, ChainDirection.FromDevice));
        _transmit = QueueCode.Of(
            work.Format, code, firstQueue + 1, index: 1, NetWork.Slots,
            new ChainPart(DriverLayout.Transmit, DriverLayout.FrameShift, NetWork.HeaderBytes + work.FrameBytes, ChainDirection.ToDevice));
    }

    /// <summary>Variable: how many transmit buffers are free.</summary>
    private static MemoryOperand Free => new(Register.R15, DriverLayout.Private + 0x88);

    /// <summary>Variable: not 0 once a probe has come back.</summary>
    private static MemoryOperand IsUp => new(Register.R15, DriverLayout.Private + 0x90);

    /// <summary>Initialization.</summary>
    public void Start()
    {
        _receive.Prepare();
        _transmit.Prepare();
        PrepareFrames();
        _device.Start(
            VirtioFeatures.Version1 | (_work.Format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0), welcome: 0, checkConfig: null, _receive, _transmit);
    }

    /// <summary>The receive buffers.</summary>
    public void Begin()
    {
        _code.Mov(Register.R12, 0);
        Label slot = _code.Here();
        _code.Mov(Register.Rax, Register.R12);
        _receive.Post();
        _code.Add(Register.R12, 1);
        _code.Cmp(Register.R12, NetWork.Slots);
        _code.J(Condition.Below, slot);
        Kick(_receive);
    }

    /// <summary>One turn: checks what came back, collects what was sent, and sends until the window is full.</summary>
    public void Turn()
    {
        Receive();
        Collect();
        Send();
    }

    /// <summary>Goes to <paramref name="busy"/> while something is under way. Uses RAX, RCX.</summary>
    public void GoOnWhileBusy(Label busy)
    {
        _code.Load(Register.Rax, _counters[DriverLayout.Sent], Width.Qword);
        _code.Load(Register.Rcx, _counters[DriverLayout.Done], Width.Qword);
        _code.Cmp(Register.Rax, Register.Rcx);
        _code.J(Condition.NotEqual, busy);
        _code.Load(Register.Rax, Free, Width.Qword);
        _code.Cmp(Register.Rax, NetWork.Slots);
        _code.J(Condition.NotEqual, busy);
    }

    /// <summary>The end.</summary>
    public void Finish() => _device.Finish();

    /// <summary>Ethernet headers, and all transmit buffers free.</summary>
    private void PrepareFrames()
    {
        _code.Mov(Register.R12, 0);
        _code.Mov(Register.R8, FirstWord);
        _code.Mov(Register.R9, SecondWord);
        _code.Mov(Register.R10, DriverLayout.NetFree);
        Label slot = _code.Here();
        FrameToRdi(DriverLayout.Transmit);
        _code.Store(new MemoryOperand(Register.Rdi), Register.R8, Width.Qword);
        _code.Store(new MemoryOperand(Register.Rdi, 8), Register.R9, Width.Qword);
        _code.Store(new MemoryOperand(Register.R10, Register.R12, 8), Register.R12, Width.Qword);
        _code.Add(Register.R12, 1);
        _code.Cmp(Register.R12, NetWork.Slots);
        _code.J(Condition.Below, slot);
        _code.Store(Free, Register.R12, Width.Qword);
    }

    private void Receive()
    {
        Label next = _code.NewLabel(), done = _code.NewLabel(), quiet = _code.NewLabel(), again = _code.NewLabel(), foreign = _code.NewLabel();
        Label wrongLength = _code.NewLabel(), wrongContent = _code.NewLabel(), wrongOrder = _code.NewLabel();
        Label probe = _code.NewLabel(), repost = _code.NewLabel();
        _code.Mov(Register.Rbp, 0);
        _code.Bind(next);
        _code.Cmp(Register.Rbp, ReceiveBurst);
        _code.J(Condition.AboveOrEqual, done);
        _receive.Take(done, foreign);
        _code.Mov(Register.R12, Register.Rax);
        _code.Mov(Register.R10, Register.Rcx);
        _code.Mov(Register.Rcx, NetWork.HeaderBytes + _work.FrameBytes);
        _code.Cmp(Register.R10, Register.Rcx);
        _code.J(Condition.NotEqual, wrongLength);
        FrameToRdi(DriverLayout.Receive);
        foreach ((int offset, ulong word) in new[] { (0, FirstWord), (8, SecondWord) })
        {
            _code.Load(Register.R10, new MemoryOperand(Register.Rdi, offset), Width.Qword);
            _code.Mov(Register.Rcx, word);
            _code.Cmp(Register.R10, Register.Rcx);
            _code.J(Condition.NotEqual, wrongContent);
        }

        _code.Load(Register.R10, new MemoryOperand(Register.Rdi, NetWork.SequenceOffset), Width.Qword);
        _code.Cmp(Register.R10, Probe);
        _code.J(Condition.Equal, probe);
        _code.Load(Register.Rcx, _counters[DriverLayout.Done], Width.Qword);
        _code.Cmp(Register.R10, Register.Rcx);
        _code.J(Condition.NotEqual, wrongOrder);
        _code.Mov(Register.Rax, Register.R10);
        _code.Mov(Register.R13, Register.R10);
        _code.Add(Register.Rdi, NetWork.PatternOffset);
        _code.Call(_pattern.CompareFrame);
        _code.J(Condition.NotEqual, wrongContent);
        StampToRdi(Register.R13);
        _code.Load(Register.Rsi, new MemoryOperand(Register.Rdi), Width.Qword);
        _counters.Latency();
        _code.Inc(_counters[DriverLayout.Verified]);
        _code.Bind(again);
        _counters.CountDone(_work.FrameBytes);
        _code.Bind(repost);
        _code.Mov(Register.Rax, Register.R12);
        _receive.Post();
        _code.Add(Register.Rbp, 1);
        _code.Jmp(next);

        _code.Bind(done);
        _code.Test(Register.Rbp, Register.Rbp);
        _code.J(Condition.Equal, quiet);
        Kick(_receive);
        _code.Jmp(quiet);

        _code.Bind(probe);
        _code.Store(IsUp, 1, Width.Qword);
        _code.Jmp(repost);
        _code.Bind(foreign);
        ErrorInFrame(DriverFault.ForeignBuffer);
        _code.Add(Register.Rbp, 1);
        _code.Jmp(next);
        _code.Bind(wrongLength);
        ErrorInFrame(DriverFault.WrongLength);
        _code.Jmp(again);
        _code.Bind(wrongContent);
        ErrorInFrame(DriverFault.WrongContent);
        _code.Jmp(again);
        _code.Bind(wrongOrder);
        ErrorInFrame(DriverFault.WrongOrder);
        _code.Jmp(again);
        _code.Bind(quiet);
    }

    /// <summary>Takes transmit buffers back.</summary>
    private void Collect()
    {
        Label foreign = _code.NewLabel(), done = _code.NewLabel();
        Label next = _code.Here();
        _transmit.Take(done, foreign);
        _code.Load(Register.Rcx, Free, Width.Qword);
        _code.And(Register.Rcx, NetWork.Slots - 1); // a device that gives one back twice cannot make this run over
        _code.Mov(Register.Rdi, DriverLayout.NetFree);
        _code.Store(new MemoryOperand(Register.Rdi, Register.Rcx, 8), Register.Rax, Width.Qword);
        _code.Inc(Free);
        _code.Jmp(next);
        _code.Bind(foreign);
        ErrorInFrame(DriverFault.ForeignBuffer);
        _code.Jmp(next);
        _code.Bind(done);
    }

    private void Send()
    {
        Label done = _code.NewLabel(), quiet = _code.NewLabel(), isUp = _code.NewLabel(), post = _code.NewLabel();
        _code.Mov(Register.Rbp, 0);
        Label next = _code.Here();
        _code.Load(Register.Rax, new MemoryOperand(Register.R15, DriverLayout.Stop), Width.Qword);
        _code.Test(Register.Rax, Register.Rax);
        _code.J(Condition.NotEqual, done);
        _code.Load(Register.R13, _counters[DriverLayout.Sent], Width.Qword);
        _code.Load(Register.Rcx, _counters[DriverLayout.Done], Width.Qword);
        _code.Mov(Register.Rax, Register.R13);
        _code.Sub(Register.Rax, Register.Rcx);
        _code.Cmp(Register.Rax, NetWork.Window);
        _code.J(Condition.AboveOrEqual, done);
        _code.Load(Register.Rcx, Free, Width.Qword);
        _code.Load(Register.Rdx, IsUp, Width.Qword);
        _code.Test(Register.Rdx, Register.Rdx);
        _code.J(Condition.NotEqual, isUp);
        _code.Cmp(Register.Rcx, NetWork.Slots);
        _code.J(Condition.NotEqual, done); // the last probe is still under way
        _code.Mov(Register.R13, Probe);
        _code.Bind(isUp);
        _code.Test(Register.Rcx, Register.Rcx);
        _code.J(Condition.Equal, done);
        _code.Sub(Register.Rcx, 1);
        _code.Store(Free, Register.Rcx, Width.Qword);
        _code.Mov(Register.Rdi, DriverLayout.NetFree);
        _code.Load(Register.R12, new MemoryOperand(Register.Rdi, Register.Rcx, 8), Width.Qword);
        FrameToRdi(DriverLayout.Transmit);
        _code.Store(new MemoryOperand(Register.Rdi, NetWork.SequenceOffset), Register.R13, Width.Qword);
        _code.Cmp(Register.R13, Probe);
        _code.J(Condition.Equal, post);
        _code.Add(Register.Rdi, NetWork.PatternOffset);
        _code.Mov(Register.Rax, Register.R13);
        _code.Call(_pattern.FillFrame);
        StampToRdi(Register.R13);
        _counters.Now();
        _code.Store(new MemoryOperand(Register.Rdi), Register.Rax, Width.Qword);
        _code.Inc(_counters[DriverLayout.Sent]);
        _code.Bind(post);
        _code.Mov(Register.Rax, Register.R12);
        _transmit.Post();
        _code.Add(Register.Rbp, 1);
        _code.Jmp(next);
        _code.Bind(done);
        _code.Test(Register.Rbp, Register.Rbp);
        _code.J(Condition.Equal, quiet);
        Kick(_transmit);
        _code.Bind(quiet);
    }

    /// <summary>An error at the frame that should come next.</summary>
    private void ErrorInFrame(DriverFault kind)
    {
        _code.Load(Register.Rdx, _counters[DriverLayout.Done], Width.Qword);
        _counters.Error(kind);
    }

    /// <summary>Frame of slot R12, behind the virtio header, to RDI.</summary>
    private void FrameToRdi(ulong buffers)
    {
        _code.Mov(Register.Rdi, Register.R12);
        _code.Shl(Register.Rdi, DriverLayout.FrameShift);
        _code.Add(Register.Rdi, checked((int)buffers) + NetWork.HeaderBytes);
    }

    private void StampToRdi(Register sequence)
    {
        _code.Mov(Register.Rdi, sequence);
        _code.And(Register.Rdi, NetWork.Slots - 1);
        _code.Shl(Register.Rdi, 3);
        _code.Add(Register.Rdi, checked((int)DriverLayout.NetStamps));
    }

    private void Kick(QueueCode queue) => queue.Kick(_device.HasWordNotify, _counters[DriverLayout.Kicks]);
}
