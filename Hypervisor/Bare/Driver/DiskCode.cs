using System.Numerics;
using Paravane.Hypervisor.Frontend;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes the driver of the block device: every slot always has a request under way, until the host says stop.</summary>
internal sealed class DiskCode
{
    private const int HeaderShift = 6, HeaderBytes = 16, SectorOffset = 8, StatusOffset = 32, StampOffset = 40;
    private const int Untouched = 0xFF, DeviceWrites = 2;

    private readonly CodeWriter _code;
    private readonly DiskWork _work;
    private readonly PatternCode _pattern;
    private readonly DeviceCode _device;
    private readonly CounterCode _counters;
    private readonly QueueCode _queue;
    private readonly Label _send;

    /// <summary>Writes the subroutines.</summary>
    public DiskCode(CodeWriter code, DiskWork work, DriverTransport transport, PatternCode pattern, int firstQueue, int tscKilohertz, Label giveUp)
    {
        _code = code;
        _work = work;
        _pattern = pattern;
        _device = new DeviceCode(code, transport, DriverDevice.Disk, giveUp);
        _counters = new CounterCode(code, DriverDevice.Disk, tscKilohertz);
        _queue = QueueCode.Of(
            work.Format,
            code,
            firstQueue,
            index: 0,
            DiskWork.Slots,
            new ChainPart(DriverLayout.DiskHeaders, HeaderShift, HeaderBytes, ChainDirection.ToDevice),
            new ChainPart(DriverLayout.DiskData, BitOperations.Log2(DiskWork.BlockBytes), DiskWork.BlockBytes, ChainDirection.Either),
            new ChainPart(DriverLayout.DiskHeaders + StatusOffset, HeaderShift, 1, ChainDirection.FromDevice));
        _send = WriteSend();
    }

    /// <summary>Variable: state of the random numbers.</summary>
    private static MemoryOperand Random => new(Register.R15, DriverLayout.Private + 0x80);

    /// <summary>Initialization.</summary>
    public void Start()
    {
        _queue.Prepare();
        _code.Mov(Register.Rax, _work.Seed | 1);
        _code.Store(Random, Register.Rax, Width.Qword);
        ulong format = _work.Format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0;
        _device.Start(
            VirtioFeatures.Version1 | format,
            DeviceFeatures.BlockFlush, // without it every write must be on the medium at once
            giveUp =>
            {
                _code.Load(Register.Rax, new MemoryOperand(Register.Rsi, 4), Width.Dword);
                _code.Shl(Register.Rax, 32);
                _code.Load(Register.Rcx, new MemoryOperand(Register.Rsi), Width.Dword);
                _code.Or(Register.Rax, Register.Rcx);
                _code.Cmp(Register.Rax, _work.Blocks * DiskWork.SectorsPerBlock);
                giveUp(Condition.Below, DriverFault.DiskTooSmall);
            },
            _queue);
    }

    /// <summary>The first requests.</summary>
    public void Begin()
    {
        _code.Mov(Register.R12, 0);
        Label slot = _code.Here();
        _code.Call(_send);
        _code.Add(Register.R12, 1);
        _code.Cmp(Register.R12, DiskWork.Slots);
        _code.J(Condition.Below, slot);
        Kick();
    }

    /// <summary>One turn: checks what came back, and sends as much again.</summary>
    public void Turn()
    {
        Label next = _code.NewLabel(), done = _code.NewLabel(), quiet = _code.NewLabel(), foreign = _code.NewLabel();
        Label isWrite = _code.NewLabel(), complete = _code.NewLabel(), wrongLength = _code.NewLabel(), badStatus = _code.NewLabel(), wrongContent = _code.NewLabel();
        _code.Mov(Register.Rbp, 0);
        _code.Bind(next);
        _code.Cmp(Register.Rbp, DiskWork.Slots);
        _code.J(Condition.AboveOrEqual, done);
        _queue.Take(done, foreign);
        _code.Mov(Register.R12, Register.Rax);
        _code.Mov(Register.R13, Register.Rcx);
        HeaderToRbx();
        _code.Load(Register.Rsi, new MemoryOperand(Register.Rbx, StampOffset), Width.Qword);
        _counters.Latency();
        _code.Load(Register.R10, new MemoryOperand(Register.Rbx, StatusOffset), Width.Byte);
        _code.Test(Register.R10, Register.R10);
        _code.J(Condition.NotEqual, badStatus);
        _code.Load(Register.Rax, new MemoryOperand(Register.Rbx), Width.Dword);
        _code.Mov(Register.R10, Register.R13);
        _code.Mov(Register.Rcx, 1); // the status
        _code.Test(Register.Rax, Register.Rax);
        _code.J(Condition.NotEqual, isWrite);
        _code.Mov(Register.Rcx, DiskWork.BlockBytes + 1);
        _code.Bind(isWrite);
        _code.Cmp(Register.R10, Register.Rcx);
        _code.J(Condition.NotEqual, wrongLength);
        _code.Test(Register.Rax, Register.Rax);
        _code.J(Condition.NotEqual, complete);

        _code.Load(Register.Rax, new MemoryOperand(Register.Rbx, SectorOffset), Width.Qword);
        GenerationOfSector();
        DataToRdi();
        _code.Call(_pattern.CompareBlock);
        _code.J(Condition.NotEqual, wrongContent);
        _code.Inc(_counters[DriverLayout.Verified]);
        _code.Bind(complete);
        _counters.CountDone(DiskWork.BlockBytes);
        _code.Add(Register.Rbp, 1);
        _code.Load(Register.Rax, new MemoryOperand(Register.R15, DriverLayout.Stop), Width.Qword);
        _code.Test(Register.Rax, Register.Rax);
        _code.J(Condition.NotEqual, next);
        _code.Call(_send);
        _code.Jmp(next);

        _code.Bind(done);
        _code.Test(Register.Rbp, Register.Rbp);
        _code.J(Condition.Equal, quiet);
        Kick();
        _code.Jmp(quiet);

        _code.Bind(foreign);
        _code.Mov(Register.Rdx, 0);
        _code.Mov(Register.R10, Register.Rax);
        _code.Mov(Register.Rcx, DiskWork.Slots);
        _counters.Error(DriverFault.ForeignBuffer);
        _code.Add(Register.Rbp, 1);
        _code.Jmp(next);
        _code.Bind(badStatus);
        _code.Mov(Register.Rcx, 0);
        ErrorInBlock(DriverFault.BadStatus, complete);
        _code.Bind(wrongLength);
        ErrorInBlock(DriverFault.WrongLength, complete);
        _code.Bind(wrongContent);
        ErrorInBlock(DriverFault.WrongContent, complete);
        _code.Bind(quiet);
    }

    /// <summary>Goes to <paramref name="busy"/> while something is under way. Uses RAX, RCX.</summary>
    public void GoOnWhileBusy(Label busy)
    {
        _code.Load(Register.Rax, _counters[DriverLayout.Sent], Width.Qword);
        _code.Load(Register.Rcx, _counters[DriverLayout.Done], Width.Qword);
        _code.Cmp(Register.Rax, Register.Rcx);
        _code.J(Condition.NotEqual, busy);
    }

    /// <summary>The end.</summary>
    public void Finish() => _device.Finish();

    /// <summary>A subroutine that sends the next request of slot R12: a write, or a read of what was written.</summary>
    private Label WriteSend()
    {
        Label start = _code.Here(), read = _code.NewLabel(), write = _code.NewLabel(), post = _code.NewLabel();
        HeaderToRbx();
        _code.Load(Register.Rax, Random, Width.Qword);
        Shuffle(13, left: true);
        Shuffle(7, left: false);
        Shuffle(17, left: true);
        _code.Store(Random, Register.Rax, Width.Qword);
        _code.Mov(Register.Rsi, Register.Rax);
        _code.And(Register.Rsi, (_work.Blocks / DiskWork.Slots) - 1);
        _code.Shl(Register.Rsi, BitOperations.Log2(DiskWork.Slots));
        _code.Or(Register.Rsi, Register.R12);
        _code.Mov(Register.Rcx, Register.Rsi);
        _code.Shl(Register.Rcx, BitOperations.Log2(DiskWork.SectorsPerBlock));
        _code.Store(new MemoryOperand(Register.Rbx, SectorOffset), Register.Rcx, Width.Qword);
        _code.Mov(Register.Rdi, DriverLayout.Generations);
        _code.Load(Register.Rdx, new MemoryOperand(Register.Rdi, Register.Rsi, 4), Width.Dword);
        _code.Test(Register.Rdx, Register.Rdx);
        _code.J(Condition.Equal, write);
        _code.Shr(Register.Rax, 32);
        _code.Movzx(Register.Rax, Register.Rax, Width.Byte);
        _code.Cmp(Register.Rax, _work.ReadPercent * 256 / 100);
        _code.J(Condition.Below, read);

        _code.Bind(write);
        _code.Add(Register.Rdx, 1);
        _code.Store(new MemoryOperand(Register.Rdi, Register.Rsi, 4), Register.Rdx, Width.Dword);
        _code.Store(new MemoryOperand(Register.Rbx), 1, Width.Dword); // VIRTIO_BLK_T_OUT
        _code.Mov(Register.Rax, Register.Rcx);
        DataToRdi();
        _code.Call(_pattern.FillBlock);
        _code.Mov(Register.R13, 0);
        _code.Jmp(post);

        _code.Bind(read);
        _code.Store(new MemoryOperand(Register.Rbx), 0, Width.Dword); // VIRTIO_BLK_T_IN
        _code.Mov(Register.R13, DeviceWrites);
        _code.Bind(post);
        _code.Store(new MemoryOperand(Register.Rbx, StatusOffset), Untouched, Width.Byte);
        _counters.Now();
        _code.Store(new MemoryOperand(Register.Rbx, StampOffset), Register.Rax, Width.Qword);
        _code.Mov(Register.Rax, Register.R12);
        _code.Mov(Register.Rdx, Register.R13);
        _queue.Post();
        _code.Inc(_counters[DriverLayout.Sent]);
        _code.Ret();
        return start;
    }

    private void Shuffle(int bits, bool left)
    {
        _code.Mov(Register.Rcx, Register.Rax);
        if (left)
        {
            _code.Shl(Register.Rcx, bits);
        }
        else
        {
            _code.Shr(Register.Rcx, bits);
        }

        _code.Xor(Register.Rax, Register.Rcx);
    }

    private void ErrorInBlock(DriverFault kind, Label then)
    {
        _code.Load(Register.Rdx, new MemoryOperand(Register.Rbx, SectorOffset), Width.Qword);
        _code.Shr(Register.Rdx, BitOperations.Log2(DiskWork.SectorsPerBlock));
        _counters.Error(kind);
        _code.Jmp(then);
    }

    /// <summary>Generation of the block of sector RAX, to RDX. Uses RDI.</summary>
    private void GenerationOfSector()
    {
        _code.Mov(Register.Rdx, Register.Rax);
        _code.Shr(Register.Rdx, BitOperations.Log2(DiskWork.SectorsPerBlock));
        _code.Mov(Register.Rdi, DriverLayout.Generations);
        _code.Load(Register.Rdx, new MemoryOperand(Register.Rdi, Register.Rdx, 4), Width.Dword);
    }

    private void HeaderToRbx()
    {
        _code.Mov(Register.Rbx, Register.R12);
        _code.Shl(Register.Rbx, HeaderShift);
        _code.Add(Register.Rbx, checked((int)DriverLayout.DiskHeaders));
    }

    private void DataToRdi()
    {
        _code.Mov(Register.Rdi, Register.R12);
        _code.Shl(Register.Rdi, BitOperations.Log2(DiskWork.BlockBytes));
        _code.Add(Register.Rdi, checked((int)DriverLayout.DiskData));
    }

    private void Kick() => _queue.Kick(_device.HasWordNotify, _counters[DriverLayout.Kicks]);
}
